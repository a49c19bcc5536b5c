package haproxy

import (
	"crypto/sha256"
	"math/big"
	"slices"
)

// The values of backend_order; any other shuffles.
const (
	orderAscending  = "asc"
	orderDescending = "desc"
	orderAsFound    = "no_shuffle"
)

// arrange brings names into the order that the option asks for, in place.
// names must come in the order in which the servers became known: the shuffle
// depends on it.
func arrange(names []string, order string, seeded mersenne) {
	switch order {
	case orderAscending:
		slices.Sort(names)
	case orderDescending:
		slices.Sort(names)
		slices.Reverse(names)
	case orderAsFound:
	default:
		seeded.shuffle(names)
	}
}

// hostSeed derives a seed from a host name, so that the order differs between
// hosts but not between restarts.
func hostSeed(host string) *big.Int {
	sum := sha256.Sum256([]byte(host))
	return new(big.Int).SetBytes(sum[:16])
}

// The parameters of MT19937.
const (
	mtSize   = 624
	mtPeriod = 397
	mtMatrix = 0x9908b0df
)

// mersenne is the MT19937 generator as Ruby's Random uses it, because the
// order of servers must be the one that the original writes. Assigning it
// copies its state.
type mersenne struct {
	state [mtSize]uint32
	next  int
}

// newMersenne seeds a generator as Ruby's Random.new(seed) does: the absolute
// value in 32-bit words, the lowest first, without a highest word of 1 if
// there are several.
func newMersenne(seed *big.Int) mersenne {
	var words []uint32
	rest, low := new(big.Int).Abs(seed), new(big.Int)
	for mask := big.NewInt(0xffffffff); rest.Sign() > 0; rest.Rsh(rest, 32) {
		words = append(words, uint32(low.And(rest, mask).Uint64()))
	}
	if n := len(words); n > 1 && words[n-1] == 1 {
		words = words[:n-1]
	}
	var m mersenne
	switch len(words) {
	case 0:
		m.seed(0)
	case 1:
		m.seed(words[0])
	default:
		m.seedArray(words)
	}
	return m
}

// seed is init_genrand of the reference implementation.
func (m *mersenne) seed(s uint32) {
	m.state[0] = s
	for i := 1; i < mtSize; i++ {
		m.state[i] = 1812433253*(m.state[i-1]^m.state[i-1]>>30) + uint32(i)
	}
	m.next = mtSize
}

// seedArray is init_by_array of the reference implementation.
func (m *mersenne) seedArray(key []uint32) {
	m.seed(19650218)
	i, j := 1, 0
	step := func() {
		if i++; i >= mtSize {
			m.state[0] = m.state[mtSize-1]
			i = 1
		}
	}
	for range max(mtSize, len(key)) {
		m.state[i] = (m.state[i] ^ (m.state[i-1]^m.state[i-1]>>30)*1664525) + key[j] + uint32(j)
		step()
		if j++; j >= len(key) {
			j = 0
		}
	}
	for range mtSize - 1 {
		m.state[i] = (m.state[i] ^ (m.state[i-1]^m.state[i-1]>>30)*1566083941) - uint32(i)
		step()
	}
	m.state[0] = 0x80000000
}

// uint32 is genrand_int32 of the reference implementation.
func (m *mersenne) uint32() uint32 {
	if m.next >= mtSize {
		m.refill()
	}
	y := m.state[m.next]
	m.next++
	y ^= y >> 11
	y ^= y << 7 & 0x9d2c5680
	y ^= y << 15 & 0xefc60000
	return y ^ y>>18
}

func (m *mersenne) refill() {
	for i := range mtSize {
		y := m.state[i]&0x80000000 | m.state[(i+1)%mtSize]&0x7fffffff
		m.state[i] = m.state[(i+mtPeriod)%mtSize] ^ y>>1
		if y&1 != 0 {
			m.state[i] ^= mtMatrix
		}
	}
	m.next = 0
}

// upTo draws a number from 0 to limit, by mask and rejection.
func (m *mersenne) upTo(limit uint32) uint32 {
	if limit == 0 {
		return 0
	}
	mask := limit
	for shift := 1; shift < 32; shift <<= 1 {
		mask |= mask >> shift
	}
	for {
		if v := m.uint32() & mask; v <= limit {
			return v
		}
	}
}

// shuffle is Ruby's Array#shuffle.
func (m *mersenne) shuffle(names []string) {
	for i := len(names); i > 0; i-- {
		j := m.upTo(uint32(i - 1))
		names[i-1], names[j] = names[j], names[i-1]
	}
}
