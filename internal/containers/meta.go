package containers

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// meta is what a container says of itself: for each key the value, and apart
// what it says of single ports. The keys are those of our labels without their
// prefix, whoever's the words were.
type meta struct {
	all    map[string]string
	byPort map[int]map[string]string
	theirs bool     // the service's name is registrator's
	unable []string // what is asked for and cannot be had
}

// readMeta reads labels, and registrator's words in labels and environment. Ours
// count for more than registrator's, labels for more than the environment, as
// with registrator.
func readMeta(prefix string, labels map[string]string, env []string, registrator bool) meta {
	m := meta{all: map[string]string{}, byPort: map[int]map[string]string{}}
	if registrator {
		for _, entry := range env {
			if name, value, ok := strings.Cut(entry, "="); ok {
				m.takeTheirs(name, value)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(labels)) {
			m.takeTheirs(name, labels[name])
		}
		m.theirs = true
	}
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		key, ok := strings.CutPrefix(name, prefix+".")
		if !ok {
			continue
		}
		port, key := splitPort(key, ".")
		if key == "service" {
			m.theirs = false
		}
		m.put(port, key, labels[name])
	}
	return m
}

// splitPort takes a leading port off a key; 0 is none.
func splitPort(key, by string) (int, string) {
	first, rest, ok := strings.Cut(key, by)
	if port, err := strconv.Atoi(first); ok && err == nil && port > 0 && port <= 65535 {
		return port, rest
	}
	return 0, key
}

func (m *meta) put(port int, key, value string) {
	into := m.all
	if port != 0 {
		if m.byPort[port] == nil {
			m.byPort[port] = map[string]string{}
		}
		into = m.byPort[port]
	}
	into[key] = value
}

// registrators are registrator's words in ours. What is empty is not needed.
var registrators = map[string]string{
	"NAME": "service", "ID": "name", "TAGS": "label.tags", "IGNORE": "ignore",
	"CHECK_INTERVAL": "check_interval", "CHECK_TIMEOUT": "check.timeout",
	"CHECK_INITIAL_STATUS": "", "CHECK_DEREGISTER_AFTER": "", "CHECK_HTTP_METHOD": "", "CHECK_HTTPS_METHOD": "", "CHECK_TLS_SKIP_VERIFY": "",
}

// takeTheirs takes SERVICE_NAME, SERVICE_80_NAME and so on.
func (m *meta) takeTheirs(name, value string) {
	key, ok := strings.CutPrefix(name, "SERVICE_")
	if !ok {
		return
	}
	port, key := splitPort(key, "_")
	switch key {
	case "CHECK_HTTP":
		m.put(port, "check", "http")
		m.put(port, "check.uri", value)
	case "CHECK_HTTPS":
		m.put(port, "check", "http")
		m.put(port, "check.uri", value)
		m.put(port, "check.ssl", "true")
	case "CHECK_TCP", "CHECK_GRPC":
		m.put(port, "check", strings.ToLower(strings.TrimPrefix(key, "CHECK_")))
	case "CHECK_SCRIPT", "CHECK_CMD", "CHECK_TTL", "CHECK_DOCKER":
		m.unable = append(m.unable, name)
	default:
		ours, known := registrators[key]
		if !known {
			ours = "label." + strings.ToLower(key)
		}
		if ours != "" {
			m.put(port, ours, value)
		}
	}
}

// of returns what holds for a port.
func (m meta) of(port int) map[string]string {
	all := maps.Clone(m.all)
	maps.Copy(all, m.byPort[port])
	return all
}

// names tells whether a service is named at all.
func (m meta) names() bool {
	if m.all["service"] != "" {
		return true
	}
	for _, keys := range m.byPort {
		if keys["service"] != "" {
			return true
		}
	}
	return false
}
