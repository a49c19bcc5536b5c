package haproxy

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"

	"smartstack/haproxy/master"
	"smartstack/internal/config"
	"smartstack/test/servers"
)

// A port that somebody else has keeps back the service that asks for it, and no
// other: a HAProxy of ours that tried to have it would refuse connections for a
// second, each time, and one that starts would not start. When the port is free
// the service follows.
func TestAPortThatIsTakenHoldsItsServiceAlone(t *testing.T) {
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	b := checked(t, newBed(t, "api", "web"))
	b.options.Supervise = true
	b.services[1].Options.Port = config.Optional[string]{Set: true, Value: strconv.Itoa(other.Addr().(*net.TCPAddr).Port)}
	b.services[1].Options.BindAddress = "127.0.0.1"
	b.open()
	st := b.settle(map[string]string{"api": "1", "web": "2"})
	wantHeld(t, st, "web")
	if reason := st.Held[0].Reason; !strings.Contains(reason, other.Addr().String()) || !strings.Contains(reason, "in use") || !st.Held[0].LeftOut {
		t.Errorf("held %+v", st.Held)
	}
	b.wantFile("1", "2")

	wantHeld(t, b.settle(map[string]string{"api": "1 3", "web": "2"}), "web")
	b.wantFile("1 3", "2")

	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	b.out.memory.publisher.heldAt = b.out.memory.publisher.heldAt.Add(-recheckAfter) // a minute has passed
	wantHeld(t, b.settle(map[string]string{"api": "1", "web": "2"}))
	b.wantFile("1 2", "3")
}

// What HAProxy may not have and no service asks for is kept back by itself, also
// when it is new with a start of synapse.
func TestWhatHAProxyMayNotHaveIsNotWritten(t *testing.T) {
	b := checked(t, newBed(t, "api"))
	b.options.Supervise = true
	b.open()
	wantHeld(t, b.settle(map[string]string{"api": "1"}))
	b.options.Global = append(b.options.Global, "chroot /no/such/directory")
	b.open()
	b.settle(map[string]string{"api": "1 2"})
	b.written()
	if st := b.out.Status(); len(st.Faults) != 1 || !strings.Contains(st.Faults[0].Err, "chroot /no/such/directory") {
		t.Errorf("status %+v", st)
	}
	b.wantFile("1 2", "")
	if text := b.read(); strings.Contains(text, "chroot") || strings.Count(text, header) != 1 {
		t.Errorf("the file says\n%s", text)
	}
}

// written waits until the file says the last snapshot.
func (b *bed) written() {
	b.t.Helper()
	servers.Eventually(b.t, func() error {
		b.apply(b.out.memory.snapshot)
		if st := b.out.Status(); st.Written != b.rev {
			return fmt.Errorf("status %+v", st)
		}
		return nil
	})
}

// A word in quotes is not looked into: HAProxy passes the file and ends with it.
// Nothing of it stays, so that HAProxy starts again, and it is not tried again.
func TestAFileThatHAProxyEndedWithIsTakenBack(t *testing.T) {
	for name, died := range map[string]error{"at a reload": master.ErrEnded, "at its start": master.ErrNotStarted} {
		for _, due := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", the one before loaded: ", !due), func(t *testing.T) { takeBack(t, died, due) })
		}
	}
}

func takeBack(t *testing.T, died error, due bool) {
	b := checked(t, newBed(t, "api"))
	b.options.Supervise = true
	b.open()
	wantHeld(t, b.settle(map[string]string{"api": "1"}))
	b.options.Global = append(b.options.Global, `chroot "/no/such/directory"`)
	b.failing = fmt.Errorf("it was told to reload: %w", died)
	b.close()
	(&target{path: b.file}).setDue(due) // a synapse that was killed does not know what HAProxy has loaded
	b.open()
	servers.Eventually(t, func() error {
		st := b.settle(map[string]string{"api": "1"})
		if !slices.ContainsFunc(st.Faults, func(f Fault) bool { return strings.Contains(f.Err, "ends with it") }) {
			return fmt.Errorf("faults %+v", st.Faults)
		}
		return nil
	})
	b.failing = nil
	tried := strings.Count(b.log.String(), "when it was to load the file")
	b.out.memory.publisher.heldAt = b.out.memory.publisher.heldAt.Add(-recheckAfter) // a minute has passed
	b.settle(map[string]string{"api": "1 2"})
	b.written()
	b.wantFile("1 2", "")
	if text := b.read(); strings.Contains(text, "chroot") || tried != 1 {
		t.Errorf("tried %d times; the file says\n%s", tried, text)
	}

	b.options.Global = b.options.Global[:len(b.options.Global)-1]
	b.open()
	if st := b.settle(map[string]string{"api": "1 2 3"}); len(st.Faults) > 0 {
		t.Errorf("faults %+v", st.Faults)
	}
	b.wantFile("1 2 3", "")
}
