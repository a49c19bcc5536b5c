package dns

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// message is what matters here of a DNS message.
type message struct {
	dnsmessage.Header // RCode with the part of it that EDNS adds
	question          []dnsmessage.Question
	answer            []dnsmessage.Resource // addresses, SRV and aliases; other records are left out
	authority         []dnsmessage.Resource // SOA and NS
}

// kindNames are the types of records as people write them.
var kindNames = map[dnsmessage.Type]string{dnsmessage.TypeA: "A", dnsmessage.TypeAAAA: "AAAA", dnsmessage.TypeSRV: "SRV"}

// rcodeBadVersion is EDNS's own code: a version that is not known.
const rcodeBadVersion dnsmessage.RCode = 16

// codeName is a code as nameservers' manuals have it.
func codeName(c dnsmessage.RCode) string {
	names := map[dnsmessage.RCode]string{
		dnsmessage.RCodeFormatError: "FORMERR", dnsmessage.RCodeServerFailure: "SERVFAIL", dnsmessage.RCodeNameError: "NXDOMAIN",
		dnsmessage.RCodeNotImplemented: "NOTIMP", dnsmessage.RCodeRefused: "REFUSED", rcodeBadVersion: "BADVERS",
	}
	if name, ok := names[c]; ok {
		return name
	}
	return fmt.Sprintf("with code %d", c)
}

// query is one question on the wire.
type query struct {
	id       uint16
	question dnsmessage.Question
	data     []byte
}

// newQuery asks for the records kind of a fully qualified name, with EDNS or
// without.
func newQuery(name string, kind dnsmessage.Type, edns bool) (query, error) {
	n, err := dnsmessage.NewName(name)
	if err != nil {
		return query{}, fmt.Errorf("name %.80q: %w", name, err)
	}
	q := query{id: rand.N[uint16](0xffff), question: dnsmessage.Question{Name: n, Type: kind, Class: dnsmessage.ClassINET}}
	m := dnsmessage.Message{Header: dnsmessage.Header{ID: q.id, RecursionDesired: true}, Questions: []dnsmessage.Question{q.question}}
	if edns {
		var h dnsmessage.ResourceHeader
		if err := h.SetEDNS0(udpSize, dnsmessage.RCodeSuccess, false); err != nil {
			return query{}, err
		}
		m.Additionals = []dnsmessage.Resource{{Header: h, Body: &dnsmessage.OPTResource{}}}
	}
	if q.data, err = m.Pack(); err != nil {
		return query{}, fmt.Errorf("name %.80q: %w", name, err)
	}
	return q, nil
}

// answeredBy reports whether m answers the query.
func (q query) answeredBy(m message) bool {
	if m.ID != q.id || !m.Response || m.OpCode != 0 {
		return false
	}
	if len(m.question) == 0 { // some refusals repeat nothing
		return m.RCode != dnsmessage.RCodeSuccess && m.RCode != dnsmessage.RCodeNameError
	}
	got := m.question[0]
	return strings.EqualFold(got.Name.String(), q.question.Name.String()) && got.Type == q.question.Type && got.Class == q.question.Class
}

// unpack takes a message apart. With an error m holds what came before it.
func unpack(data []byte) (m message, err error) {
	var p dnsmessage.Parser
	if m.Header, err = p.Start(data); err != nil {
		return m, err
	}
	if m.question, err = p.AllQuestions(); err != nil {
		return m, err
	}
	if m.answer, err = section(p.AnswerHeader, p.Answer, p.SkipAnswer, dnsmessage.TypeA, dnsmessage.TypeAAAA, dnsmessage.TypeSRV, dnsmessage.TypeCNAME); err != nil {
		return m, err
	}
	if m.authority, err = section(p.AuthorityHeader, p.Authority, p.SkipAuthority, dnsmessage.TypeSOA, dnsmessage.TypeNS); err != nil {
		return m, err
	}
	for {
		h, err := p.AdditionalHeader()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			return m, nil
		}
		if err != nil {
			return m, err
		}
		if h.Type == dnsmessage.TypeOPT {
			m.RCode = h.ExtendedRCode(m.RCode)
		}
		if err := p.SkipAdditional(); err != nil {
			return m, err
		}
	}
}

// section reads the records of the given types and skips the others.
func section(header func() (dnsmessage.ResourceHeader, error), read func() (dnsmessage.Resource, error), skip func() error, types ...dnsmessage.Type) ([]dnsmessage.Resource, error) {
	var list []dnsmessage.Resource
next:
	for {
		h, err := header()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			return list, nil
		}
		if err != nil {
			return list, err
		}
		for _, t := range types {
			if h.Type == t {
				r, err := read()
				if err != nil {
					return list, err
				}
				list = append(list, r)
				continue next
			}
		}
		if err := skip(); err != nil {
			return list, err
		}
	}
}

// writeQuery writes the query; over TCP with its length in front.
func writeQuery(w io.Writer, data []byte, stream bool) error {
	if stream {
		data = append(binary.BigEndian.AppendUint16(nil, uint16(len(data))), data...)
	}
	_, err := w.Write(data)
	return err
}

// readAnswer reads one message into buf, which has room for the largest.
func readAnswer(r io.Reader, buf []byte, stream bool) ([]byte, error) {
	if !stream {
		n, err := r.Read(buf)
		return buf[:n], err
	}
	if _, err := io.ReadFull(r, buf[:2]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(buf))
	_, err := io.ReadFull(r, buf[:n])
	return buf[:n], err
}
