package zookeeper

import (
	"context"
	"errors"
	"iter"
	"path"
	"slices"
	"strings"
	"time"

	"smartstack/internal/service"
	"smartstack/internal/zkconn"
)

// view is what is known of the path, and which of it may be out of date. It
// belongs to the goroutine of Run.
type view struct {
	w    *Watcher
	conn *zkconn.Conn
	sub  *zkconn.Subscription

	noticed time.Time // when the first event came that nothing was read after; zero = none has

	children  []child // sorted by name
	stat      zkconn.Stat
	absent    bool // the path does not exist and we may not create it
	listOld   bool
	listArmed bool

	generators  []byte // the last options that made sense
	configFault string // why newer ones do not
	configMzxid int64  // when the path's data was written, if that is where the options are
	configOld   bool
	configArmed bool
}

// child is one backend, or the reason why it is none.
type child struct {
	name    string
	known   bool // the rest is up to date
	watched bool // a watch on its data is armed
	registered
}

type registered struct {
	backend *service.Backend // not changed any more; nil = it is not valid
	reason  string           // why
}

func newView(w *Watcher, conn *zkconn.Conn) *view {
	v := &view{w: w, conn: conn, listOld: true, configOld: w.config != ""}
	if w.config == "" || w.config == w.path {
		v.sub = conn.Subscribe(w.path)
	} else {
		v.sub = conn.Subscribe(w.path, w.config)
	}
	return v
}

// unarm takes note that the session's watches are gone: the list and all that
// was watched have to be read again.
func (v *view) unarm() {
	v.listOld, v.configOld = true, v.w.config != ""
	v.listArmed, v.configArmed = false, false
	for i := range v.children {
		if c := &v.children[i]; c.watched {
			c.known, c.watched = false, false
		}
	}
}

// forget takes everything for out of date.
func (v *view) forget() {
	v.unarm()
	for i := range v.children {
		v.children[i].known = false
	}
}

// stale reports whether anything has to be read.
func (v *view) stale() bool {
	return v.listOld || v.configOld || slices.ContainsFunc(v.children, func(c child) bool { return !c.known })
}

// hear takes note of events.
func (v *view) hear(events map[string]zkconn.Kind) {
	if len(events) > 0 && v.noticed.IsZero() {
		v.noticed = time.Now()
	}
	for node, kind := range events {
		if node == v.w.path {
			if kind&(zkconn.Children|zkconn.Deleted) != 0 {
				v.listArmed = false
			}
			if kind&^zkconn.Changed != 0 {
				v.listOld = true
			}
		}
		if node == v.w.config && kind&^zkconn.Children != 0 {
			v.configOld, v.configArmed = true, false
		}
		if path.Dir(node) != v.w.path {
			continue
		}
		if i, ok := v.find(path.Base(node)); ok && v.children[i].watched {
			v.children[i].known, v.children[i].watched = false, false
		}
	}
}

func (v *view) find(name string) (int, bool) {
	return slices.BinarySearchFunc(v.children, name, func(c child, name string) int { return strings.Compare(c.name, name) })
}

// look compares the path's counters with those of the last list, as a second
// line of defence behind the watches.
func (v *view) look(ctx context.Context) error {
	stat, err := v.conn.Exists(ctx, v.w.path)
	switch {
	case err != nil:
		return err
	case stat == nil:
		v.listOld = v.listOld || !v.absent
		return nil
	}
	if v.absent || stat.Czxid != v.stat.Czxid || stat.Pzxid != v.stat.Pzxid {
		v.listOld = true
	}
	if v.w.config == v.w.path && stat.Mzxid != v.configMzxid {
		v.configOld = true
	}
	return nil
}

// refresh reads what is out of date. After an error the rest of it still is.
func (v *view) refresh(ctx context.Context) error {
	if v.listOld {
		if err := v.list(ctx); err != nil {
			return err
		}
	}
	if v.configOld {
		if err := v.readConfig(ctx); err != nil {
			return err
		}
	}
	return v.readChildren(ctx)
}

// list reads the names of the children, and makes the path if need be.
func (v *view) list(ctx context.Context) error {
	for range 3 { // somebody may delete the path while we make it
		get := v.conn.ChildrenW
		if v.listArmed || v.w.poll > 0 {
			get = v.conn.Children
		}
		start := time.Now()
		l, err := get(ctx, v.w.path)
		if err == nil || errors.Is(err, zkconn.ErrNoNode) {
			v.w.meter.listed(l, !v.listArmed && v.w.poll == 0, start, err != nil)
		}
		if err == nil {
			v.listArmed = v.w.poll == 0
			v.listOld, v.absent = false, false
			v.merge(l)
			return nil
		}
		if !errors.Is(err, zkconn.ErrNoNode) {
			return err
		}
		if done, err := v.missing(ctx); done || err != nil {
			return err
		}
	}
	return errors.New("zookeeper " + v.conn.Name() + ": " + v.w.path + " is deleted as soon as it is made")
}

var errReadOnly = errors.New("only reading was asked for")

// missing makes the path, or waits for others to make it where that is not
// allowed: done then.
func (v *view) missing(ctx context.Context) (done bool, err error) {
	denied := errReadOnly
	if !v.w.readOnly {
		start := time.Now()
		denied = v.conn.MakePath(ctx, v.w.path, v.w.acl...)
		v.w.meter.took("synapse.watcher.zk.create_path.elapsed_time", start)
	}
	if denied == nil || zkconn.IsLink(denied) {
		return false, denied
	}
	stat, err := v.conn.ExistsW(ctx, v.w.path)
	if err != nil || stat != nil {
		return false, err
	}
	if !v.absent {
		v.w.meter.to.Count("synapse.watcher.zk.register_failed")
		v.w.log.Warn("the path does not exist and cannot be made; the service is empty until somebody makes it", "err", denied)
	}
	v.absent, v.listOld, v.listArmed = true, false, false
	v.stat, v.children = zkconn.Stat{}, nil
	return true, nil
}

// merge takes a new list of names, and keeps what is known of the old ones
// while they are children of the same node: a new node starts its sequence
// numbers afresh.
func (v *view) merge(l zkconn.List) {
	slices.Sort(l.Names)
	old := v.children
	if l.Stat.Czxid != v.stat.Czxid {
		old = nil
	}
	v.stat = l.Stat
	v.children = make([]child, 0, len(l.Names))
	for _, name := range l.Names {
		for len(old) > 0 && old[0].name < name {
			old = old[1:]
		}
		if len(old) > 0 && old[0].name == name {
			v.children = append(v.children, old[0])
		} else {
			v.children = append(v.children, child{name: name})
		}
	}
}

// readConfig reads the options for the outputs.
func (v *view) readConfig(ctx context.Context) error {
	get := v.conn.GetW
	if v.configArmed || v.w.poll > 0 {
		get = v.conn.Get
	}
	start := time.Now()
	n, err := get(ctx, v.w.config)
	v.w.meter.took("synapse.watcher.zk.get.elapsed_time", start)
	if errors.Is(err, zkconn.ErrNoNode) {
		return v.noConfig(ctx)
	}
	if err != nil {
		v.w.meter.to.Count("synapse.watcher.zk.get_config_failed")
		return err
	}
	v.configOld, v.configArmed = false, v.w.poll == 0
	v.configMzxid = n.Stat.Mzxid
	if err := new(service.Builder).Generators(n.Data); err != nil {
		v.configFault = err.Error() // the older ones stay
		v.w.meter.to.Count("synapse.watcher.zk.get_config_failed")
	} else {
		v.generators, v.configFault = n.Data, ""
	}
	return nil
}

// noConfig takes note that there are no options, and waits for them.
func (v *view) noConfig(ctx context.Context) error {
	if v.w.poll == 0 && v.w.config != v.w.path { // the list is what waits for the path
		stat, err := v.conn.ExistsW(ctx, v.w.config)
		if err != nil || stat != nil {
			return err // still old: it has just been made
		}
	}
	v.configOld, v.configArmed = false, false
	v.generators, v.configFault = nil, ""
	return nil
}

// readChildren reads the data of the children of which it is not known, all at
// the same time. A child that has gone since the list was read is left out.
func (v *view) readChildren(ctx context.Context) error {
	var nodes []string
	var at []int // nodes[i] belongs to children[at[i]]
	for i := range v.children {
		c := &v.children[i]
		if c.known || v.w.fromName(c) {
			continue
		}
		nodes = append(nodes, path.Join(v.w.path, c.name))
		at = append(at, i)
	}
	if len(nodes) == 0 {
		return nil
	}
	watched := func(i int) bool { return v.w.watched(path.Base(nodes[i])) } // not from children: a late request must not read them
	start := time.Now()
	got, err := zkconn.GetMany(ctx, v.conn, nodes, watched, func(i int, n zkconn.Node) registered {
		return v.w.register(path.Base(nodes[i]), n.Data)
	})
	v.w.meter.took("synapse.watcher.zk.get.elapsed_time", start)
	if err != nil {
		v.w.meter.to.Count("synapse.watcher.zk.get_child_failed")
		return err
	}
	gone := false
	for i, reg := range got {
		c := &v.children[at[i]]
		if reg == nil {
			gone = true
			continue
		}
		if reg.reason != "" && reg.reason != c.reason {
			v.w.meter.to.Count("synapse.watcher.zk.parse_child_failed")
		}
		c.known, c.watched, c.registered = true, watched(i), *reg
	}
	if gone {
		v.children = slices.DeleteFunc(v.children, func(c child) bool { return !c.known })
	}
	return nil
}

// fromName completes c from its name, if that holds a valid registration.
func (w *Watcher) fromName(c *child) bool {
	data, ok := encodedData(c.name)
	if !ok {
		return false
	}
	reg := w.register(c.name, data)
	if reg.reason != "" {
		return false // its data may be better
	}
	c.known, c.registered = true, reg
	return true
}

// register decodes and judges one registration.
func (w *Watcher) register(name string, data []byte) registered {
	b, err := w.decode(name, data)
	if err == nil {
		err = b.Validate()
	}
	if err != nil {
		return registered{reason: err.Error()}
	}
	b.ID = registrationID(name)
	return registered{backend: &b}
}

// update says everything that is known.
func (v *view) update() service.Update {
	var b service.Builder
	for i := range v.children {
		if c := &v.children[i]; c.reason != "" {
			b.Reject(c.name, c.reason)
		} else {
			b.Add(c.name, *c.backend)
		}
	}
	if err := b.Generators(v.generators); err != nil {
		b.Reject(v.w.config, err.Error()) // it was judged when it was read
	}
	if v.configFault != "" {
		b.Reject(v.w.config, v.configFault)
	}
	u := b.Update()
	u.Noticed, v.noticed = v.noticed, time.Time{}
	v.share(u.Backends)
	return u
}

// share lets the children point into s, which is made of them, so that each
// backend is in memory once.
func (v *view) share(s service.Set) {
	next, stop := iter.Pull(s.Pointers())
	defer stop()
	in, more := next()
	for i := range v.children {
		if !more {
			return
		}
		if c := &v.children[i]; c.backend != nil && *c.backend == *in {
			c.backend = in
			in, more = next()
		}
	}
}
