package service

import (
	"encoding/json"
	"fmt"
	"slices"
)

// MaxRejected bounds the rejections that one Update names.
const MaxRejected = 64

// Builder collects what a registry says into an Update. Invalid backends are
// rejected with a reason. The zero value is ready for use, by one goroutine.
type Builder struct {
	backends []Backend
	update   Update
}

// Add takes b, which the registry holds under entry, if it is valid.
func (u *Builder) Add(entry string, b Backend) {
	if err := b.Validate(); err != nil {
		u.Reject(entry, err.Error())
		return
	}
	u.backends = append(u.backends, b)
}

// AddPayload decodes nerve's registration format and takes the backend in it.
func (u *Builder) AddPayload(entry string, payload []byte, with ...func(*Backend)) {
	b, err := DecodePayload(payload)
	if err != nil {
		u.Reject(entry, err.Error())
		return
	}
	for _, f := range with {
		f(&b)
	}
	u.Add(entry, b)
}

// Reject records that entry is left out, and why.
func (u *Builder) Reject(entry, reason string) {
	u.update.RejectedTotal++
	if len(u.update.Rejected) < MaxRejected {
		u.update.Rejected = append(u.update.Rejected, Rejection{Entry: printable(entry), Reason: reason})
	}
}

// Idle records that entry is in order and does not serve now, and why.
func (u *Builder) Idle(entry, reason string) {
	u.update.IdleTotal++
	if len(u.update.Idle) < MaxRejected {
		u.update.Idle = append(u.update.Idle, Rejection{Entry: printable(entry), Reason: reason})
	}
}

// Generators takes the data of a service's parent entry: a JSON object of
// per-output options. Empty data means none; anything that is not an object of
// objects is an error, and nothing is taken.
func (u *Builder) Generators(data []byte) error {
	if len(data) == 0 {
		return nil
	}
	if len(data) > MaxPayload {
		return fmt.Errorf("%d bytes of options are over the limit of %d", len(data), MaxPayload)
	}
	var m map[string]json.RawMessage
	if err := json.Unmarshal(data, &m); err != nil {
		return fmt.Errorf("want a JSON object of per-output options: %w", err)
	}
	if len(m) > 0 {
		u.update.Generators = m
	}
	return nil
}

// Update returns what was collected. The builder must not be used afterwards.
func (u *Builder) Update() Update {
	u.update.Backends = NewSet(slices.Values(u.backends))
	return u.update
}
