package config

import (
	"math"
	"math/big"
	"strconv"
	"strings"
)

// resolve says what a plain YAML scalar means, by YAML 1.1 as Ruby's Psych
// reads it, and gives its JSON form; strings have none.
func resolve(s string) (kind Kind, plain string) {
	switch strings.ToLower(s) {
	case "", "~", "null":
		return Null, "null"
	case "yes", "true", "on":
		return Bool, "true"
	case "no", "false", "off":
		return Bool, "false"
	case ".inf", "+.inf", "-.inf", ".nan":
		return Float, strconv.Quote(strings.ToLower(s))
	}
	if c := s[0]; c != '-' && c != '+' && c != '.' && (c < '0' || c > '9') {
		return String, ""
	}
	if plain, ok := resolveInt(s); ok {
		return Int, plain
	}
	if plain, ok := resolveFloat(s); ok {
		return Float, plain
	}
	return String, ""
}

// resolveInt knows decimal, 0x, 0b and, with a leading zero, octal numbers; "_"
// groups digits.
func resolveInt(s string) (plain string, ok bool) {
	if len(s) > 4096 {
		return "", false // quadratic to convert, and no number anyone means
	}
	sign, digits := "", s
	if s[0] == '-' || s[0] == '+' {
		sign, digits = strings.TrimPrefix(s[:1], "+"), s[1:]
	}
	base := 10
	switch {
	case strings.HasPrefix(digits, "0x"):
		base, digits = 16, digits[2:]
	case strings.HasPrefix(digits, "0b"):
		base, digits = 2, digits[2:]
	case len(digits) > 1 && digits[0] == '0':
		base, digits = 8, digits[1:]
	}
	if digits == "" || digits[0] == '_' {
		return "", false
	}
	digits = strings.ReplaceAll(digits, "_", "")
	if strings.ContainsAny(digits[:1], "+-") {
		return "", false
	}
	n, ok := new(big.Int).SetString(sign+digits, base)
	if !ok {
		return "", false
	}
	return n.String(), true
}

func resolveFloat(s string) (plain string, ok bool) {
	if strings.Trim(s, "0123456789_+-.eE") != "" || !strings.ContainsAny(s, "0123456789") || !strings.ContainsAny(s, ".eE") || s[0] == '_' {
		return "", false
	}
	f, err := strconv.ParseFloat(strings.ReplaceAll(s, "_", ""), 64)
	if err != nil || math.IsInf(f, 0) {
		return "", false
	}
	return strconv.FormatFloat(f, 'g', -1, 64), true
}
