package ranges

import "testing"

func TestParse(t *testing.T) {
	s, err := Parse([]string{"200-299, 404", "500"}, 100, 599)
	if err != nil {
		t.Fatal(err)
	}
	in := map[int]bool{199: false, 200: true, 250: true, 299: true, 300: false, 404: true, 405: false, 500: true}
	for n, want := range in {
		if s.Has(n) != want {
			t.Errorf("%d: %v", n, !want)
		}
	}
	if Set(nil).Has(0) {
		t.Error("the zero value is not empty")
	}
	for _, bad := range []string{"", "x", "99", "600", "300-200", "200-", "-200", "200--201", "200-299-300"} {
		if s, err := Parse([]string{bad}, 100, 599); err == nil {
			t.Errorf("%q is read as %v", bad, s)
		}
	}
}
