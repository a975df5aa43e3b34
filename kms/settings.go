package kms

import "time"

// SettingRevocationBound names the setting that bounds for how long a node that hears nothing may
// honour a state that was revoked. Its value is a Go duration.
const SettingRevocationBound = "revocation_bound"

// The revocation bound.
const (
	DefaultRevocationBound = time.Minute
	MinRevocationBound     = time.Second
	MaxRevocationBound     = time.Hour
)

// ParseRevocationBound reads a value of SettingRevocationBound. The error is CodeValidation.
func ParseRevocationBound(value string) (time.Duration, error) {
	d, err := time.ParseDuration(value)
	if err != nil || d < MinRevocationBound || d > MaxRevocationBound {
		return 0, Errorf(CodeValidation, "The setting %s must be a duration from %s to %s, such as 90s.",
			SettingRevocationBound, ShortDuration(MinRevocationBound), ShortDuration(MaxRevocationBound))
	}
	return d, nil
}

// ShortDuration formats d as time.Duration does, without trailing zero units: 1h, 1m30s, 500ms.
func ShortDuration(d time.Duration) string {
	s := d.String()
	if d >= time.Minute && d%time.Minute == 0 {
		s = s[:len(s)-len("0s")]
	}
	if d >= time.Hour && d%time.Hour == 0 {
		s = s[:len(s)-len("0m")]
	}
	return s
}
