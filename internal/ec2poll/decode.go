package ec2poll

import (
	"errors"
	"fmt"
)

// root is the element that every answer to DescribeInstances consists of.
const root = "DescribeInstancesResponse"

// decoder turns answers into instances. The texts of one poll repeat a lot, so
// it keeps each once.
type decoder struct {
	texts map[string]string
	*scanner
}

func newDecoder() *decoder { return &decoder{texts: map[string]string{}} }

// page is one answer.
type page struct {
	instances []Instance
	next      string // token of the next page; empty = the last one
}

// page decodes one whole answer. Whatever is not an answer to
// DescribeInstances from its first to its last byte is an error.
func (d *decoder) page(body []byte) (page, error) {
	d.scanner = &scanner{data: body}
	t, err := d.scanner.next()
	if err != nil {
		return page{}, &badAnswer{fmt.Errorf("the answer of %d bytes %w", len(body), err)}
	}
	if t.end || string(t.name) != root {
		return page{}, &badAnswer{fmt.Errorf("the answer starts with <%.40s>, not with <%s>: something between here and EC2 answers in its place", t.name, root)}
	}
	p, err := d.response(t)
	if err == nil {
		err = d.rest()
	}
	if err != nil {
		return page{}, &badAnswer{fmt.Errorf("the answer of %d bytes %w", len(body), err)}
	}
	return p, nil
}

func (d *decoder) response(t tag) (p page, err error) {
	listed := false
	err = d.children(t, func(t tag) error {
		switch string(t.name) {
		case "reservationSet":
			listed = true
			return d.items(t, func(t tag) error {
				if string(t.name) != "instancesSet" {
					return d.skip(t)
				}
				return d.children(t, func(t tag) error { return d.instance(t, &p) })
			})
		case "nextToken":
			return d.into(&p.next, t)
		default:
			return d.skip(t)
		}
	})
	if err == nil && !listed {
		err = errors.New("holds no list of reservations")
	}
	return p, err
}

// items calls f for the children of each child of list.
func (d *decoder) items(list tag, f func(tag) error) error {
	return d.children(list, func(item tag) error { return d.children(item, f) })
}

// instance adds one instance to p if it is running.
func (d *decoder) instance(t tag, p *page) error {
	var i Instance
	var state, inner string
	err := d.children(t, func(t tag) error {
		switch string(t.name) {
		case "instanceId":
			return d.into(&i.ID, t)
		case "instanceState":
			return d.state(t, &state)
		case "privateIpAddress":
			return d.into(&i.PrivateIP, t)
		case "ipAddress":
			return d.into(&i.PublicIP, t)
		case "privateDnsName":
			return d.into(&i.PrivateDNS, t)
		case "ipv6Address":
			return d.into(&i.IPv6, t)
		case "networkInterfaceSet":
			return d.items(t, func(t tag) error { return d.ipv6(t, &inner) })
		case "tagSet":
			return d.tags(t, &i.Tags)
		default:
			return d.skip(t)
		}
	})
	switch {
	case err != nil:
		return err
	case i.ID == "" || state == "":
		return errors.New("holds an instance without an id or a state")
	case i.IPv6 == "":
		i.IPv6 = inner
	}
	if state == "running" {
		p.instances = append(p.instances, i)
	}
	return nil
}

func (d *decoder) state(t tag, state *string) error {
	return d.children(t, func(t tag) error {
		if string(t.name) == "name" {
			return d.into(state, t)
		}
		return d.skip(t)
	})
}

// ipv6 looks in one element of a network interface for the first address.
func (d *decoder) ipv6(t tag, first *string) error {
	if string(t.name) != "ipv6AddressesSet" || *first != "" {
		return d.skip(t)
	}
	return d.items(t, func(t tag) error {
		if string(t.name) == "ipv6Address" && *first == "" {
			return d.into(first, t)
		}
		return d.skip(t)
	})
}

func (d *decoder) tags(t tag, tags *[]Tag) error {
	return d.children(t, func(item tag) error {
		var one Tag
		err := d.children(item, func(t tag) error {
			switch string(t.name) {
			case "key":
				return d.into(&one.Key, t)
			case "value":
				return d.into(&one.Value, t)
			default:
				return d.skip(t)
			}
		})
		*tags = append(*tags, one)
		return err
	})
}

// into stores the text of an element. It is a copy: what is kept must not keep
// the whole answer.
func (d *decoder) into(to *string, t tag) error {
	text, err := d.text(t)
	if err != nil {
		return err
	}
	known, ok := d.texts[string(text)]
	if !ok {
		known = string(text)
		d.texts[known] = known
	}
	*to = known
	return nil
}
