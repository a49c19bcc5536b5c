package dns

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// question is one name and the type of record wanted of it. The name is in
// small letters and has no final dot.
type question struct {
	name string
	kind uint16
}

func (q question) String() string { return q.name + " " + dns.TypeToString[q.kind] }

// recordKinds are the types that the option record stands for.
var recordKinds = map[string][]uint16{
	"":    {dns.TypeA, dns.TypeAAAA},
	"a":   {dns.TypeA, dns.TypeAAAA},
	"srv": {dns.TypeSRV},
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
func read(m *dns.Msg, name string, kind uint16) (answer, error) {
	if m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
		return answer{}, errors.New("answers " + cmp.Or(dns.RcodeToString[m.Rcode], fmt.Sprintf("with code %d", m.Rcode)))
	}
	if m.Truncated {
		return answer{}, errors.New("cuts its answer short even over TCP")
	}
	owner, ttl, err := followAliases(m, name)
	if err != nil {
		return answer{}, err
	}
	var a answer
	for _, rr := range m.Answer {
		if !strings.EqualFold(rr.Header().Name, owner) || rr.Header().Rrtype != kind {
			continue
		}
		ttl = min(ttl, rr.Header().Ttl)
		if rec, ok := readRecord(rr); ok {
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
func followAliases(m *dns.Msg, name string) (owner string, ttl uint32, err error) {
	owner, ttl = name, longestTTL
	aliases := map[string]*dns.CNAME{}
	for _, rr := range m.Answer {
		if c, ok := rr.(*dns.CNAME); ok {
			aliases[strings.ToLower(c.Hdr.Name)] = c
		}
	}
	for range maxAliases {
		c := aliases[strings.ToLower(owner)]
		if c == nil {
			return owner, ttl, nil
		}
		if owner, ttl = c.Target, min(ttl, c.Hdr.Ttl); owner == "" {
			return "", 0, errors.New("answers with an alias of nothing")
		}
	}
	return "", 0, errors.New("answers with a chain of aliases that has no end")
}

// readRecord leaves out what nobody can connect to.
func readRecord(rr dns.RR) (record, bool) {
	var ip []byte
	switch rr := rr.(type) {
	case *dns.A:
		ip = rr.A
	case *dns.AAAA:
		ip = rr.AAAA
	case *dns.SRV:
		target := strings.ToLower(strings.TrimSuffix(rr.Target, "."))
		return record{target: target, priority: rr.Priority, weight: rr.Weight, port: rr.Port}, target != ""
	}
	addr, ok := netip.AddrFromSlice(ip)
	addr = addr.Unmap()
	return record{addr: addr}, ok && !addr.IsUnspecified() && !addr.IsMulticast()
}

// readEmpty finds out why m holds no records of owner, the end of name's
// aliases, and how long that holds.
func (a *answer) readEmpty(m *dns.Msg, name, owner string, ttl uint32) (uint32, error) {
	soa, referral := false, false
	for _, rr := range m.Ns {
		switch rr := rr.(type) {
		case *dns.SOA:
			soa = true
			ttl = min(ttl, rr.Hdr.Ttl, rr.Minttl)
		case *dns.NS:
			referral = true
		}
	}
	switch {
	case m.Rcode == dns.RcodeNameError:
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
