package awskms

import (
	"errors"
	"math"
	"strconv"
	"time"
)

// epoch is a time in Unix milliseconds, 0 for none. In JSON it is a number of seconds with up to three
// decimals, as AWS JSON 1.1 has it.
type epoch int64

func at(t time.Time) epoch {
	if t.IsZero() {
		return 0
	}
	return epoch(t.UnixMilli())
}

func maybe(t *time.Time) epoch {
	if t == nil {
		return 0
	}
	return at(*t)
}

// time returns the time, nil for none.
func (e epoch) time() *time.Time {
	if e == 0 {
		return nil
	}
	t := time.UnixMilli(int64(e)).UTC()
	return &t
}

// MarshalJSON writes seconds.
func (e epoch) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(e)/1000, 'f', -1, 64), nil
}

// UnmarshalJSON reads seconds, of the years that a time can be in.
func (e *epoch) UnmarshalJSON(raw []byte) error {
	if string(raw) == "null" {
		return nil
	}
	seconds, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || !(math.Abs(seconds) <= 253402300799) { // the year 9999
		return errors.New("no number of seconds")
	}
	*e = epoch(math.Round(seconds * 1000))
	return nil
}
