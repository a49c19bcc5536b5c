package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"smartstack/test/servers"
)

// TestTwoSynapsesOneFile: the second of two synapses that write one file leaves
// it alone, says who has it, once while nothing changes, and takes over when the first one ends.
func TestTwoSynapsesOneFile(t *testing.T) {
	s := newStage(t, registries(t)["file"]())
	s.newHost("web1")
	s.startSynapse()
	s.awaitServing("web1")
	sent, stop := s.traffic()
	second := servers.Program(t, "second-synapse", filepath.Join(bin, "synapse"), "-c", s.path("synapse.json"), "--log-format", "text")
	s.awaitLog(second, fmt.Sprintf("is already written by another synapse, process %d", s.synapse.PID()))
	s.more(sent, 200)
	if n := strings.Count(second.Log(), "is already written by another synapse"); n != 1 {
		t.Errorf("the second one says so %d times, want once, as nothing has changed:\n%s", n, second.Log())
	}
	s.newHost("web2")
	s.awaitServing("web1", "web2")
	s.more(sent, 200)
	s.synapse.Terminate()
	s.newHost("web3")
	s.awaitServing("web1", "web2", "web3")
	s.more(sent, 200)
	stop()
}
