package preflight

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Process is what a HAProxy may do that we start.
type Process struct {
	UID, GID     int
	Capabilities uint64
	Gains        bool // the program's file gives it more than we have
}

// Self returns what a child of this process may do that runs program.
func Self(program string) Process {
	p := Process{UID: os.Geteuid(), GID: os.Getegid()}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		p.Gains = true // nothing is known
		return p
	}
	p.Capabilities = inherited(string(status), p.UID)
	if info, err := os.Stat(program); err != nil || info.Mode()&(os.ModeSetuid|os.ModeSetgid) != 0 {
		p.Gains = true
	} else if _, err := unix.Getxattr(program, "security.capability", nil); err == nil {
		p.Gains = true
	}
	return p
}

// inherited returns the capabilities that a child has of a process with this
// status: root's are those that are not taken away for good, others have what
// is ambient.
func inherited(status string, uid int) uint64 {
	field := func(name string, base int) uint64 {
		_, rest, _ := strings.Cut(status, "\n"+name+":")
		value, _, _ := strings.Cut(rest, "\n")
		n, _ := strconv.ParseUint(strings.TrimSpace(value), base, 64) // 0 where the kernel does not say
		return n
	}
	switch {
	case uid != 0:
		return field("CapAmb", 16)
	case field("NoNewPrivs", 10) == 1:
		return field("CapBnd", 16) & field("CapPrm", 16)
	default:
		return field("CapBnd", 16)
	}
}

func (p Process) may(capability int) bool { return p.Gains || p.Capabilities&(1<<capability) != 0 }

// faults says which lines of the section global p may not follow.
func (p Process) faults(global []line) []Fault {
	var list []Fault
	for _, l := range global {
		if len(l.words) < 2 {
			continue
		}
		if err := p.fault(l.words[0], l.words[1]); err != nil {
			list = append(list, Fault{l.number, fmt.Errorf("%s %s: %w", l.words[0], l.words[1], err)})
		}
	}
	return list
}

func (p Process) fault(key, value string) error {
	switch key {
	case "chroot":
		if !p.may(unix.CAP_SYS_CHROOT) {
			return lacks("SYS_CHROOT")
		}
		info, err := os.Stat(value)
		if err == nil && !info.IsDir() {
			err = fmt.Errorf("%w: %s", unix.ENOTDIR, value)
		}
		return err
	case "user", "uid":
		if id, ok := number(value, userID); ok && id != 0 && id != p.UID && !p.may(unix.CAP_SETUID) {
			return lacks("SETUID")
		}
	case "group", "gid":
		if id, ok := number(value, groupID); ok && id != 0 && id != p.GID && !p.may(unix.CAP_SETGID) {
			return lacks("SETGID")
		}
	}
	return nil
}

// lacks is the fault of a process without the capability.
func lacks(capability string) error {
	return fmt.Errorf("HAProxy needs the capability %s for that: leave the line out, or give it (--cap-add %s, and --user 0)", capability, capability)
}

// number returns the number of an account, which is written as such or as a name.
func number(text string, named func(string) (string, error)) (int, bool) {
	if id, err := strconv.Atoi(text); err == nil {
		return id, true
	}
	found, err := named(text)
	if err != nil {
		return 0, false // HAProxy's check has said so
	}
	id, err := strconv.Atoi(found)
	return id, err == nil
}

func userID(name string) (string, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return "", err
	}
	return u.Uid, nil
}

func groupID(name string) (string, error) {
	g, err := user.LookupGroup(name)
	if err != nil {
		return "", err
	}
	return g.Gid, nil
}
