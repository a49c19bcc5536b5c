package dns

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

func kindOf(record string) (dnsmessage.Type, error) {
	switch record {
	case "A":
		return dnsmessage.TypeA, nil
	case "AAAA":
		return dnsmessage.TypeAAAA, nil
	case "CNAME":
		return dnsmessage.TypeCNAME, nil
	case "MX":
		return dnsmessage.TypeMX, nil
	case "NS":
		return dnsmessage.TypeNS, nil
	case "PTR":
		return dnsmessage.TypePTR, nil
	case "SOA":
		return dnsmessage.TypeSOA, nil
	case "SRV":
		return dnsmessage.TypeSRV, nil
	case "TXT":
		return dnsmessage.TypeTXT, nil
	}
	return 0, fmt.Errorf("record: %q is none that this check knows; want A, AAAA, CNAME, MX, NS, PTR, SOA, SRV or TXT", record)
}

// reply is what an answer says.
type reply struct {
	code    dnsmessage.RCode
	long    bool     // the answer is cut off
	records []string // of the kind that was asked for
}

var errForeign = errors.New("the target answers something that was not asked")

// maxRecords bounds the records that are looked at.
const maxRecords = 1000

// parse reads an answer to the question with this id.
func (c *Check) parse(id uint16, answer []byte) (reply, error) {
	var p dnsmessage.Parser
	header, err := p.Start(answer)
	if err != nil || header.ID != id || !header.Response {
		return reply{}, errForeign
	}
	q, err := p.Question()
	if err != nil && header.RCode != dnsmessage.RCodeSuccess {
		return reply{code: header.RCode}, nil // some refuse without repeating the question
	}
	if err != nil || q.Type != c.kind || !strings.EqualFold(q.Name.String(), c.name.String()) {
		return reply{}, errForeign
	}
	r := reply{code: header.RCode, long: header.Truncated}
	if err := p.SkipAllQuestions(); err != nil {
		return r, fmt.Errorf("reading the answer: %w", err)
	}
	for range maxRecords {
		h, err := p.AnswerHeader()
		if errors.Is(err, dnsmessage.ErrSectionDone) || err != nil && r.long {
			return r, nil
		}
		if err == nil && h.Type != c.kind {
			err = p.SkipAnswer() // an alias on the way
		} else if err == nil {
			var text string
			text, err = record(&p, h.Type)
			r.records = append(r.records, text)
		}
		if err != nil {
			return r, fmt.Errorf("reading the answer: %w", err)
		}
	}
	return r, nil
}

// record reads one record as text.
func record(p *dnsmessage.Parser, kind dnsmessage.Type) (string, error) {
	switch kind {
	case dnsmessage.TypeA:
		r, err := p.AResource()
		return netip.AddrFrom4(r.A).String(), err
	case dnsmessage.TypeAAAA:
		r, err := p.AAAAResource()
		return netip.AddrFrom16(r.AAAA).String(), err
	case dnsmessage.TypeCNAME:
		r, err := p.CNAMEResource()
		return bare(r.CNAME), err
	case dnsmessage.TypeMX:
		r, err := p.MXResource()
		return fmt.Sprintf("%d %s", r.Pref, bare(r.MX)), err
	case dnsmessage.TypeNS:
		r, err := p.NSResource()
		return bare(r.NS), err
	case dnsmessage.TypePTR:
		r, err := p.PTRResource()
		return bare(r.PTR), err
	case dnsmessage.TypeSOA:
		r, err := p.SOAResource()
		return fmt.Sprintf("%s %s %d", bare(r.NS), bare(r.MBox), r.Serial), err
	case dnsmessage.TypeSRV:
		r, err := p.SRVResource()
		return fmt.Sprintf("%d %d %d %s", r.Priority, r.Weight, r.Port, bare(r.Target)), err
	default:
		r, err := p.TXTResource()
		return strings.Join(r.TXT, ""), err
	}
}

func bare(n dnsmessage.Name) string { return strings.TrimSuffix(n.String(), ".") }
