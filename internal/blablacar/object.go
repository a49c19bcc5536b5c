package blablacar

import (
	"strconv"
	"strings"

	"smartstack/internal/config"
)

// object is one object of their file on its way into our words. Keys are the
// same in whatever case, as in theirs.
type object struct {
	n    *config.Node
	r    *config.Report
	used map[string]bool // keys as they stand in the file
	out  []config.Entry[*config.Node]
}

func newObject(n *config.Node, r *config.Report) *object {
	return &object{n: n, r: r, used: map[string]bool{}}
}

// take returns the value of a key; nil when it is absent or null.
func (o *object) take(key string) *config.Node {
	for _, k := range o.n.Keys() {
		if strings.EqualFold(k, key) {
			o.used[k] = true
			if v := o.n.Get(k); !v.IsNull() {
				return v
			}
		}
	}
	return nil
}

// text returns the text of a key, or what stands for an absent one.
func (o *object) text(key, absent string) string {
	if v := o.take(key); v != nil && v.Text() != "" {
		return v.Text()
	}
	return absent
}

// put says value under our key.
func (o *object) put(ours string, value *config.Node) {
	o.out = append(o.out, config.Entry[*config.Node]{Key: ours, Value: value})
}

// say says a text under our key.
func (o *object) say(ours, text string) { o.put(ours, o.n.Literal(text)) }

// move says their value under our key, or nothing when there is none.
func (o *object) move(theirs, ours string) {
	if v := o.take(theirs); v != nil {
		o.put(ours, v)
	}
}

// moveOr is move with a text for an absent key.
func (o *object) moveOr(theirs, ours, absent string) {
	if v := o.take(theirs); v != nil {
		o.put(ours, v)
		return
	}
	o.say(ours, absent)
}

// number returns the whole number of a key; absent stands for none and for 0,
// as theirs.
func (o *object) number(key string, absent int) int {
	v := o.take(key)
	if v == nil {
		return absent
	}
	n, err := strconv.Atoi(strings.TrimSpace(v.Text()))
	if err != nil || n < 0 {
		o.r.Fault(v, "want a whole number, 0 or more, got %q", v.Text())
	}
	if n == 0 {
		return absent
	}
	return n
}

// seconds says milliseconds under our key.
func (o *object) seconds(ours string, millis int) {
	o.say(ours, strconv.FormatFloat(float64(millis)/1000, 'f', -1, 64))
}

// ignore takes keys that change nothing here.
func (o *object) ignore(keys ...string) {
	for _, k := range keys {
		o.take(k)
	}
}

// lacks warns about keys without a counterpart.
func (o *object) lacks(why string, keys ...string) {
	for _, k := range keys {
		if v := o.take(k); v != nil {
			o.r.Warn(v, "%s", why)
		}
	}
}

// done returns the object in our words, and warns about keys that nobody took.
func (o *object) done() *config.Node {
	for _, k := range o.n.Keys() {
		if !o.used[k] {
			o.r.Warn(o.n.Get(k), "unknown option of blablacar's nerve")
		}
	}
	return o.n.Compose(o.out...)
}
