package haproxy

import (
	"bytes"
	"fmt"

	"smartstack/internal/config"
	"smartstack/internal/service"
)

// layout returns the layout that counts now: by the options from the registry
// if there are any and they can be used, else by the configured ones.
func (c *Composer) layout(e *entry, svc *service.Service) *layout {
	if e.configured == nil {
		e.configured = newLayout(&c.options, e.spec.Name, &e.spec.Options, false)
	}
	raw := bytes.TrimSpace(svc.Generators[generatorName])
	if string(raw) == e.data {
		return e.current()
	}
	e.data, e.dataFault, e.fromData = string(raw), "", nil
	if e.disabled || len(raw) == 0 || isEmptyObject(raw) {
		return e.current()
	}
	options, err := decodeGenerator(e.spec.Name, raw)
	if err == nil {
		err = c.claimNames(e, options)
	}
	if err != nil {
		e.dataFault = "not used, the configured ones stay: " + err.Error()
		return e.current()
	}
	e.fromData = newLayout(&c.options, e.spec.Name, options, true)
	return e.fromData
}

func (e *entry) current() *layout {
	if e.fromData != nil {
		return e.fromData
	}
	return e.configured
}

// isEmptyObject recognises options that say nothing, which leave the
// configured ones in place.
func isEmptyObject(raw []byte) bool {
	return len(raw) > 1 && raw[0] == '{' && len(bytes.TrimSpace(raw[1:len(raw)-1])) == 0
}

// decodeGenerator reads the options that a registry holds for us.
func decodeGenerator(name string, raw []byte) (*ServiceOptions, error) {
	if raw[0] != '{' {
		return nil, fmt.Errorf("want an object of options, got %.80q", raw)
	}
	node, err := config.Parse("registry options of "+name, raw, config.ReadOptions{})
	if err != nil {
		return nil, err
	}
	var r config.Report
	options := &ServiceOptions{}
	node.Decode(options, &r)
	if err := r.Err(); err != nil {
		return nil, err
	}
	return options, options.foreignFault()
}

// claimNames takes the names of the service's sections, unless another proxy
// has them: a registry must not be able to make the file invalid.
func (c *Composer) claimNames(e *entry, o *ServiceOptions) error {
	if title := c.names.claim(e.spec.Name, o.titles(e.spec.Name)); title != "" {
		return fmt.Errorf("%s belongs to %s", title, c.names.who(title))
	}
	return nil
}
