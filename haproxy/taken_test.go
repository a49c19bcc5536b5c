package haproxy

import (
	"net"
	"strconv"
	"strings"
	"testing"

	"smartstack/internal/config"
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

// What the whole file asks for has no service that could be kept back: the last
// good file stays, and the fault says why.
func TestWhatHAProxyMayNotHaveIsNotWritten(t *testing.T) {
	b := checked(t, newBed(t, "api"))
	b.options.Supervise = true
	b.open()
	wantHeld(t, b.settle(map[string]string{"api": "1"}))
	before := b.read()
	b.options.Global = append(b.options.Global, "chroot /no/such/directory")
	b.open()
	st := b.settle(map[string]string{"api": "1 2"})
	if len(st.Faults) != 1 || !strings.Contains(st.Faults[0].Err, "chroot /no/such/directory") {
		t.Errorf("faults %+v", st.Faults)
	}
	if got := b.read(); got != before {
		t.Errorf("the file says %s", got)
	}
}
