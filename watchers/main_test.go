package watchers

import (
	"log/slog"
	"testing"

	"go.uber.org/goleak"

	"smartstack/internal/config"
	"smartstack/internal/zkconn"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func testDeps() Deps { return Deps{Log: quiet(), ZK: zkconn.NewPool(quiet())} }

func parse(t testing.TB, text string) *config.Node {
	t.Helper()
	n, err := config.Parse("s.json", []byte(text), config.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
