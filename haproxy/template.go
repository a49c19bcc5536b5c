package haproxy

import "strings"

// expand fills %{key} and %<key>s in text, as Ruby's format does, and turns %%
// into %. Anything else behind a % is kept as it stands, where Ruby would
// raise. value returns false for a key that it does not know.
func expand(text string, value func(key string) (string, bool)) string {
	if !strings.Contains(text, "%") {
		return text
	}
	var out strings.Builder
	for {
		i := strings.IndexByte(text, '%')
		if i < 0 {
			out.WriteString(text)
			return out.String()
		}
		out.WriteString(text[:i])
		filled, size := directive(text[i:], value)
		out.WriteString(filled)
		text = text[i+size:]
	}
}

// directive reads what stands at the % that text begins with: what to write,
// and how many bytes of text that is for.
func directive(text string, value func(string) (string, bool)) (string, int) {
	if len(text) < 2 {
		return text, len(text)
	}
	switch text[1] {
	case '%':
		return "%", 2
	case '{':
		if end := strings.IndexByte(text, '}'); end > 0 {
			if v, ok := value(text[2:end]); ok {
				return v, end + 1
			}
		}
	case '<':
		end := strings.IndexByte(text, '>')
		if end > 0 && end+1 < len(text) && (text[end+1] == 's' || text[end+1] == 'd') {
			if v, ok := value(text[2:end]); ok {
				return v, end + 2
			}
		}
	}
	return "%", 1
}
