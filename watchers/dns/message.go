package dns

import (
	"cmp"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// question is one name and the type of record wanted of it. The name is in
// small letters; only with a final dot is it certainly whole, as in searchList.
type question struct {
	name string
	kind dnsmessage.Type
}

func (q question) String() string { return q.name + " " + kindNames[q.kind] }

// recordKinds are the types that the option record stands for.
var recordKinds = map[string][]dnsmessage.Type{
	"":    {dnsmessage.TypeA, dnsmessage.TypeAAAA},
	"a":   {dnsmessage.TypeA, dnsmessage.TypeAAAA},
	"srv": {dnsmessage.TypeSRV},
}

// record is one record of an answer: an address, or a server's name and port.
type record struct {
	addr                   netip.Addr
	target                 string
	priority, weight, port uint16
}

// answer is what a nameserver honestly said.
type answer struct {
	records []record      // sorted, without duplicates
	ttl     time.Duration // how long it holds
	why     string        // why there are no records
	alias   string        // where to ask on: the answer ends in an alias without its records
}

// maxAliases is the longest chain of aliases that is followed.
const maxAliases = 16

// longestTTL bounds what nothing else bounds, in seconds.
const longestTTL = 7 * 24 * 3600

// read judges the answer m to the question for the records kind of the fully
// qualified name. The error says that m is no honest answer.
func read(m message, name string, kind dnsmessage.Type) (answer, error) {
	if m.RCode != dnsmessage.RCodeSuccess && m.RCode != dnsmessage.RCodeNameError {
		return answer{}, errors.New("answers " + codeName(m.RCode))
	}
	if m.Truncated {
		return answer{}, errors.New("cuts its answer short even over TCP")
	}
	owner, ttl, err := followAliases(m, name)
	if err != nil {
		return answer{}, err
	}
	var a answer
	for _, rr := range m.answer {
		if !strings.EqualFold(rr.Header.Name.String(), owner) || rr.Header.Type != kind {
			continue
		}
		ttl = min(ttl, rr.Header.TTL)
		if rec, ok := readRecord(rr.Body); ok {
			a.records = append(a.records, rec)
		} else {
			a.why = "has only records that name no server"
		}
	}
	slices.SortFunc(a.records, compareRecords)
	a.records = slices.Compact(a.records)
	if len(a.records) == 0 && a.why == "" {
		if ttl, err = a.readEmpty(m, name, owner, ttl); err != nil {
			return answer{}, err
		}
	}
	a.ttl = time.Duration(ttl) * time.Second
	return a, nil
}

// followAliases returns the name at the end of the chain of aliases in m, and
// the smallest TTL on the way.
func followAliases(m message, name string) (owner string, ttl uint32, err error) {
	owner, ttl = name, longestTTL
	type alias struct {
		target string
		ttl    uint32
	}
	aliases := map[string]alias{}
	for _, rr := range m.answer {
		if c, ok := rr.Body.(*dnsmessage.CNAMEResource); ok {
			aliases[strings.ToLower(rr.Header.Name.String())] = alias{c.CNAME.String(), rr.Header.TTL}
		}
	}
	for range maxAliases {
		c, ok := aliases[strings.ToLower(owner)]
		if !ok {
			return owner, ttl, nil
		}
		if owner, ttl = c.target, min(ttl, c.ttl); strings.Trim(owner, ".") == "" {
			return "", 0, errors.New("answers with an alias of nothing")
		}
	}
	return "", 0, errors.New("answers with a chain of aliases that has no end")
}

// readRecord leaves out what nobody can connect to.
func readRecord(body dnsmessage.ResourceBody) (record, bool) {
	var addr netip.Addr
	switch rr := body.(type) {
	case *dnsmessage.AResource:
		addr = netip.AddrFrom4(rr.A)
	case *dnsmessage.AAAAResource:
		addr = netip.AddrFrom16(rr.AAAA).Unmap()
	case *dnsmessage.SRVResource:
		target := strings.ToLower(strings.TrimSuffix(rr.Target.String(), "."))
		return record{target: target, priority: rr.Priority, weight: rr.Weight, port: rr.Port}, target != ""
	}
	return record{addr: addr}, addr.IsValid() && !addr.IsUnspecified() && !addr.IsMulticast()
}

// readEmpty finds out why m holds no records of owner, the end of name's
// aliases, and how long that holds.
func (a *answer) readEmpty(m message, name, owner string, ttl uint32) (uint32, error) {
	soa, referral := false, false
	for _, rr := range m.authority {
		switch body := rr.Body.(type) {
		case *dnsmessage.SOAResource:
			soa = true
			ttl = min(ttl, rr.Header.TTL, body.MinTTL)
		case *dnsmessage.NSResource:
			referral = true
		}
	}
	switch {
	case m.RCode == dnsmessage.RCodeNameError:
		a.why = "does not exist"
	case soa:
		a.why = "has no such records"
	case !strings.EqualFold(owner, name):
		a.alias = owner
	case referral && !m.Authoritative:
		return 0, errors.New("answers with other nameservers instead of looking the name up")
	default:
		a.why = "has no such records"
	}
	return ttl, nil
}

func compareRecords(a, b record) int {
	return cmp.Or(
		cmp.Compare(a.priority, b.priority),
		cmp.Compare(a.target, b.target),
		cmp.Compare(a.port, b.port),
		a.addr.Compare(b.addr),
		cmp.Compare(a.weight, b.weight),
	)
}
