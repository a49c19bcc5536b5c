package config

import (
	"fmt"
	"math"
	"math/big"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// decodeScalar sets a string, bool or number.
func decodeScalar(n *Node, v reflect.Value) error {
	switch v.Kind() {
	case reflect.String:
		s, err := n.str()
		if err == nil {
			v.SetString(s)
		}
		return err
	case reflect.Bool:
		b, err := n.boolean()
		if err == nil {
			v.SetBool(b)
		}
		return err
	case reflect.Float32, reflect.Float64:
		f, err := n.float()
		if err == nil {
			v.SetFloat(f)
		}
		return err
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return decodeInt(n, v)
	}
	return fmt.Errorf("options of type %s are not supported", v.Type())
}

func decodeInt(n *Node, v reflect.Value) error {
	i, err := n.bigInt()
	if err != nil {
		return err
	}
	bits := uint(v.Type().Bits())
	if v.CanUint() {
		if !i.IsUint64() || v.OverflowUint(i.Uint64()) {
			return fmt.Errorf("want a whole number from 0 to %d, got %s", uint64(math.MaxUint64)>>(64-bits), n.show())
		}
		v.SetUint(i.Uint64())
		return nil
	}
	if !i.IsInt64() || v.OverflowInt(i.Int64()) {
		most := int64(math.MaxInt64) >> (64 - bits)
		return fmt.Errorf("want a whole number from %d to %d, got %s", -most-1, most, n.show())
	}
	v.SetInt(i.Int64())
	return nil
}

// str accepts numbers and booleans as they are written.
func (n *Node) str() (string, error) {
	switch n.Kind() {
	case Null, List, Object:
		return "", fmt.Errorf("want text, got %s", n.show())
	}
	return n.text, nil
}

func (n *Node) boolean() (bool, error) {
	kind, plain := n.Kind(), ""
	switch kind {
	case Bool:
		plain = n.plain
	case String:
		kind, plain = resolve(strings.TrimSpace(n.text))
	}
	if kind != Bool {
		return false, fmt.Errorf("want true or false, got %s", n.show())
	}
	return plain == "true", nil
}

// maxDigits bounds the numbers that are converted: the time grows with the
// square of their length.
const maxDigits = 4096

// bigInt accepts digit strings, and floats without a fraction.
func (n *Node) bigInt() (*big.Int, error) {
	digits := ""
	switch n.Kind() {
	case Int:
		digits = n.plain
	case String:
		digits = strings.TrimSpace(n.text)
	case Float:
		if f, err := n.float(); err == nil && f == math.Trunc(f) && math.Abs(f) < 1<<53 {
			return big.NewInt(int64(f)), nil
		}
	}
	if len(digits) <= maxDigits && strings.Trim(digits, "+-0123456789") == "" {
		if i, ok := new(big.Int).SetString(digits, 10); ok {
			return i, nil
		}
	}
	return nil, fmt.Errorf("want a whole number, got %s", n.show())
}

func (n *Node) float() (float64, error) {
	s := ""
	switch n.Kind() {
	case Int, Float:
		s = strings.Trim(n.plain, `"`)
	case String:
		s = strings.TrimSpace(n.text)
	}
	switch strings.ToLower(s) {
	case ".inf", "+.inf", "infinity":
		return math.Inf(1), nil
	case "-.inf", "-infinity":
		return math.Inf(-1), nil
	}
	if len(s) <= maxDigits && strings.Trim(s, "0123456789+-.eE") == "" {
		if f, err := strconv.ParseFloat(s, 64); err == nil {
			return f, nil
		}
	}
	return 0, fmt.Errorf("want a number, got %s", n.show())
}

// fromNode accepts seconds, or Go's form with units in a string.
func (s *Seconds) fromNode(n *Node, t tag, r *Report) bool {
	d, err := n.duration()
	if err == nil && d < 0 && !t.negative {
		err = fmt.Errorf("want 0 or more seconds, got %s", n.show())
	}
	if err != nil {
		r.Fault(n, "%v", err)
		return false
	}
	*s = Seconds(d)
	return true
}

func (n *Node) duration() (time.Duration, error) {
	f, err := n.float()
	switch {
	case err == nil && math.Abs(f) < float64(math.MaxInt64)/1e9:
		return time.Duration(math.Round(f * 1e9)), nil
	case err == nil:
		return 0, fmt.Errorf("want seconds, %s is too many", n.show())
	case n.Kind() == String:
		if d, err := time.ParseDuration(strings.TrimSpace(n.text)); err == nil {
			return d, nil
		}
	}
	return 0, fmt.Errorf("want seconds as a number, got %s", n.show())
}
