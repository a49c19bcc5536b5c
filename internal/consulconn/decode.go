package consulconn

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
)

// Answer is what Consul says to one query. It is shared and never modified.
type Answer struct {
	Instances []Instance // of a service
	Pairs     []Pair     // of a path; without its folders
	// Withheld says that the token may not see all there is.
	Withheld bool
}

// Instance is one instance of a service.
type Instance struct {
	Node    string
	ID      string // of the instance, on its node
	Address string // its own; may be empty
	Host    string // address of the node
	Port    int
	Tagged  map[string]Tagged // further addresses by name, the instance's before the node's
	Tags    []string
	Meta    string // a JSON object; empty = none
	Passing int    // weight while the checks pass
	Warning int    // weight while one warns
	Created uint64 // index of its registration
	Status  string // the worst of its checks: passing, warning or critical; empty = not asked for
	Why     string // which check is the worst, in words
	// Maintenance says that a person took the instance or its node out.
	Maintenance bool
}

// Tagged is a further address.
type Tagged struct {
	Address string
	Port    int // 0 = the instance's
}

// Pair is one key below the path.
type Pair struct {
	Key    string // without the path
	Value  []byte
	Create uint64 // index
}

// The forms of Consul's answers; both lists of instances have some of it.
type entry struct {
	Node    node
	Service instance
	Checks  []check
}

type node struct {
	Node, Address   string
	TaggedAddresses map[string]string
}

type instance struct {
	ID, Address     string
	Port            int
	Tags            []string
	Meta            json.RawMessage
	TaggedAddresses map[string]Tagged
	Weights         *weights
	CreateIndex     uint64
}

type weights struct{ Passing, Warning int }

type check struct{ CheckID, Status string }

type catalogEntry struct {
	Node, Address          string
	TaggedAddresses        map[string]string
	ServiceID              string
	ServiceAddress         string
	ServicePort            int
	ServiceTags            []string
	ServiceMeta            json.RawMessage
	ServiceTaggedAddresses map[string]Tagged
	ServiceWeights         *weights
	CreateIndex            uint64
}

// decode reads a whole answer.
func decode(p *page, q Query) (*Answer, error) {
	a := &Answer{Withheld: p.withheld}
	if p.absent {
		return a, nil
	}
	if body := bytes.TrimSpace(p.body); len(body) == 0 || body[0] != '[' {
		return nil, badAnswer("is no list: %.60q", body)
	}
	var err error
	switch q.kind {
	case health:
		var list []entry
		if err = json.Unmarshal(p.body, &list); err == nil {
			a.Instances = make([]Instance, 0, len(list))
			for i := range list {
				a.Instances = append(a.Instances, list[i].instance())
			}
		}
	case catalog:
		var list []catalogEntry
		if err = json.Unmarshal(p.body, &list); err == nil {
			a.Instances = make([]Instance, 0, len(list))
			for i := range list {
				a.Instances = append(a.Instances, list[i].instance())
			}
		}
	case keys:
		err = decodePairs(p.body, q.name, a)
	}
	if err != nil {
		return nil, badAnswer("cannot be read: %w", err)
	}
	return a, nil
}

func decodePairs(body []byte, prefix string, a *Answer) error {
	var list []struct {
		Key         string
		Value       []byte
		CreateIndex uint64
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return err
	}
	for _, kv := range list {
		key, ok := strings.CutPrefix(kv.Key, prefix)
		if !ok {
			return fmt.Errorf("it holds the key %.60q, which is not below %s", kv.Key, prefix)
		}
		if key == "" || strings.HasSuffix(key, "/") {
			continue // a folder
		}
		a.Pairs = append(a.Pairs, Pair{Key: key, Value: kv.Value, Create: kv.CreateIndex})
	}
	return nil
}

func (e *entry) instance() Instance {
	s := &e.Service
	i := Instance{
		Node: e.Node.Node, ID: s.ID, Address: s.Address, Host: e.Node.Address, Port: s.Port,
		Tagged: tagged(e.Node.TaggedAddresses, s.TaggedAddresses), Tags: s.Tags, Meta: object(s.Meta), Created: s.CreateIndex,
	}
	i.Passing, i.Warning = s.Weights.known()
	i.Status, i.Why, i.Maintenance = worst(e.Checks)
	return i
}

func (e *catalogEntry) instance() Instance {
	i := Instance{
		Node: e.Node, ID: e.ServiceID, Address: e.ServiceAddress, Host: e.Address, Port: e.ServicePort,
		Tagged: tagged(e.TaggedAddresses, e.ServiceTaggedAddresses), Tags: e.ServiceTags, Meta: object(e.ServiceMeta), Created: e.CreateIndex,
	}
	i.Passing, i.Warning = e.ServiceWeights.known()
	return i
}

func (w *weights) known() (passing, warning int) {
	if w == nil { // before Consul 1.2.3
		return 1, 1
	}
	return w.Passing, w.Warning
}

func tagged(node map[string]string, own map[string]Tagged) map[string]Tagged {
	if len(node) == 0 {
		return own
	}
	all := make(map[string]Tagged, len(node)+len(own))
	for name, address := range node {
		all[name] = Tagged{Address: address}
	}
	maps.Copy(all, own)
	return all
}

// object returns a JSON object that is not empty, in compact form.
func object(raw json.RawMessage) string {
	var b bytes.Buffer
	if len(raw) < 3 || raw[0] != '{' || json.Compact(&b, raw) != nil || b.Len() < 3 {
		return ""
	}
	return b.String()
}

// Where maintenance shows.
const maintenance = "maintenance"

// The states of checks, as Consul calls them.
const (
	Passing  = "passing"
	Warning  = "warning"
	Critical = "critical"
)

// worst returns the state that counts, and which check has it; not what the
// check said, which differs each time. A state that is none of the three is as
// good as critical.
func worst(checks []check) (status, why string, maintained bool) {
	status = Passing
	for _, c := range checks {
		switch {
		case c.Status == Passing:
		case strings.HasPrefix(c.CheckID, "_node_"+maintenance) || strings.HasPrefix(c.CheckID, "_service_"+maintenance):
			return Critical, "is in maintenance", true
		case c.Status == Warning && status == Passing:
			status, why = Warning, fmt.Sprintf("its check %.100q warns", c.CheckID)
		case c.Status != Warning && status != Critical:
			status, why = Critical, fmt.Sprintf("its check %.100q is %.20s", c.CheckID, c.Status)
		}
	}
	return status, why, false
}
