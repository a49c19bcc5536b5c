package haproxy

import (
	"errors"
	"slices"
	"strings"
)

// setting is one option of a server: its word, and the argument behind it.
type setting struct {
	word, arg string
	hasArg    bool
}

// withArgument are the words of a server line that take one argument. A word
// that is missing here is still written as it stands; only a comparison of
// settings may then take its argument for a word.
var withArgument = wordSet("addr agent-addr agent-inter agent-port agent-send alpn ca-file check-alpn " +
	"check-pool-conn-name check-proto check-sni ciphers ciphersuites client-sigalgs cookie crl-file crt curves " +
	"downinter error-limit fall fastinter guid hash-key id idle-ping init-addr init-state inter interface " +
	"log-bufsize log-proto max-reuse maxconn maxqueue minconn namespace npn observe on-error on-marked-down " +
	"on-marked-up pool-conn-name pool-low-conn pool-max-conn pool-purge-delay port proto proxy-v2-options redir " +
	"resolve-net resolve-opts resolve-prefer resolvers rise shard sigalgs slowstart sni socks4 source ssl-max-ver " +
	"ssl-min-ver tcp-ut track usesrc verify verifyhost weight ws")

// cancelled are the words that a later no-WORD takes back.
var cancelled = wordSet("agent-check backup check check-send-proxy check-ssl check-via-socks4 send-proxy " +
	"send-proxy-v2 send-proxy-v2-ssl send-proxy-v2-ssl-cn ssl tfo verifyhost")

func wordSet(text string) map[string]bool {
	set := map[string]bool{}
	for word := range strings.FieldsSeq(text) {
		set[word] = true
	}
	return set
}

var (
	errOpenQuote   = errors.New("an open quote")
	errEnvironment = errors.New("a variable of HAProxy's environment")
)

// configWords splits text as HAProxy does when it reads its file: at white
// space, with quotes and escapes taken away.
func configWords(text string) ([]string, error) {
	if !strings.ContainsAny(text, `"'\#$`) {
		return strings.Fields(text), nil
	}
	var words []string
	var word []byte
	var quote byte
	inWord := false
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\\' && quote != '\'' && i+1 < len(text):
			i++
			word, inWord = append(word, text[i]), true
		case quote != 0 && c == quote:
			quote = 0
		case quote == '"' && c == '$':
			return nil, errEnvironment
		case quote != 0:
			word = append(word, c)
		case c == '"' || c == '\'':
			quote, inWord = c, true
		case c == ' ' || c == '\t':
			if inWord {
				words, word, inWord = append(words, string(word)), word[:0], false
			}
		case c == '#':
			i = len(text)
		default:
			word, inWord = append(word, c), true
		}
	}
	if quote != 0 {
		return nil, errOpenQuote
	}
	if inWord {
		words = append(words, string(word))
	}
	return words, nil
}

// cliWord writes a word so that it stays one on the admin socket; ok is false
// for one that cannot be said there.
func cliWord(word string) (text string, ok bool) {
	if word == "" || strings.Contains(word, "<<") || strings.ContainsAny(word, "\n\r\x00") {
		return "", false
	}
	if !strings.ContainsAny(word, "\\ ;\t") {
		return word, true
	}
	var out strings.Builder
	for i := range len(word) {
		if strings.IndexByte("\\ ;\t", word[i]) >= 0 {
			out.WriteByte('\\')
		}
		out.WriteByte(word[i])
	}
	return out.String(), true
}

// settingsOf takes words apart into settings.
func settingsOf(words []string) []setting {
	out := make([]setting, 0, len(words))
	for i := 0; i < len(words); i++ {
		s := setting{word: words[i]}
		if withArgument[s.word] && i+1 < len(words) {
			i++
			s.arg, s.hasArg = words[i], true
		}
		out = append(out, s)
	}
	return out
}

// lineSettings returns the settings on a server line, without name and address.
func lineSettings(line string) ([]setting, error) {
	words, err := configWords(line)
	if err != nil || len(words) < 3 {
		return nil, err
	}
	return settingsOf(words[3:]), nil
}

// resolve returns what holds in the end: a no-WORD takes back what came before
// it, and of a word that comes twice the last one counts.
func resolve(settings []setting) []setting {
	out := make([]setting, 0, len(settings))
	for _, s := range settings {
		base, negated := strings.CutPrefix(s.word, "no-")
		if negated = negated && cancelled[base]; !negated {
			base = s.word
		}
		out = slices.DeleteFunc(out, func(o setting) bool { return o.word == base })
		if !negated {
			out = append(out, s)
		}
	}
	return out
}

// sameSettings compares two server lines by what HAProxy cannot be told
// afterwards, so without name, address, id, weight and state. cookies says
// whether cookies matter.
func sameSettings(a, b string, cookies bool) bool {
	if a == b {
		return true
	}
	if a == unsureLine {
		return false
	}
	x, err1 := lineSettings(a)
	y, err2 := lineSettings(b)
	if err1 != nil || err2 != nil {
		return false
	}
	return slices.Equal(fixed(x, cookies), fixed(y, cookies))
}

// fixed keeps the settings that make a server another one. The order of
// different words does not matter.
func fixed(settings []setting, cookies bool) []setting {
	out := slices.DeleteFunc(resolve(settings), func(s setting) bool {
		switch s.word {
		case "id", "weight", "disabled", "enabled", "init-addr":
			return true
		case "cookie":
			return !cookies
		}
		return false
	})
	slices.SortStableFunc(out, func(a, b setting) int { return strings.Compare(a.word, b.word) })
	return out
}

func find(settings []setting, word string) (setting, bool) {
	for _, s := range slices.Backward(settings) {
		if s.word == word {
			return s, true
		}
	}
	return setting{}, false
}
