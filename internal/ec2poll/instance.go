package ec2poll

import (
	"slices"
	"strings"

	"smartstack/internal/secret"
)

// Query is what a poller asks for. Queries are compared with ==.
type Query struct {
	Region string // empty = from the environment, the profile or the host's metadata
	KeyID  string // access key; empty = the AWS client's default chain
	Secret secret.Text
	Tag    string // only instances that have a tag with this key
}

// Instance is a running instance. It is shared and never modified.
type Instance struct {
	ID         string
	PrivateIP  string
	PublicIP   string
	PrivateDNS string
	IPv6       string // the first one
	Tags       []Tag
}

// Tag is one tag of an instance.
type Tag struct{ Key, Value string }

// Tag returns the value of the tag with this key.
func (i *Instance) Tag(key string) (value string, there bool) {
	for _, t := range i.Tags {
		if t.Key == key {
			return t.Value, true
		}
	}
	return "", false
}

// Answer is everything that a query yields at one moment. It is shared and
// never modified.
type Answer struct {
	poll    uint64 // the number of the poll that it stems from
	all     []Instance
	byValue map[string][]Instance // of the query's tag
}

// newAnswer takes the instances, which it may reorder. Only those with the tag
// are kept, each once, in the order of their ids: EC2 has no order.
func newAnswer(tag string, instances []Instance) *Answer {
	slices.SortStableFunc(instances, func(a, b Instance) int { return strings.Compare(a.ID, b.ID) })
	instances = slices.CompactFunc(instances, func(a, b Instance) bool { return a.ID == b.ID })
	a := &Answer{byValue: map[string][]Instance{}}
	for _, i := range instances {
		if value, there := i.Tag(tag); there {
			a.all = append(a.all, i)
			a.byValue[value] = append(a.byValue[value], i)
		}
	}
	return a
}

// All returns the running instances that have the query's tag.
func (a *Answer) All() []Instance { return a.all }

// With returns those whose tag has this value.
func (a *Answer) With(value string) []Instance { return a.byValue[value] }
