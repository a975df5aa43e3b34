package kms

// Identity is someone of an account who can hold access keys.
type Identity struct {
	Schema   uint8  `cbor:"0,keyasint"` // 1
	Account  string `cbor:"1,keyasint"` // 12 digits
	ID       string `cbor:"2,keyasint"` // unique in the account; the root's is the account's
	Type     string `cbor:"3,keyasint"` // as CloudTrail's userIdentity.type
	Disabled bool   `cbor:"4,keyasint,omitempty"`
	Created  int64  `cbor:"5,keyasint"` // Unix milliseconds
}

// Credential is an access key. Its secret is recoverable, because signature schemes need it.
type Credential struct {
	Schema      uint8     `cbor:"0,keyasint"` // 1
	AccessKeyID string    `cbor:"1,keyasint"`
	Account     string    `cbor:"2,keyasint"`
	Identity    string    `cbor:"3,keyasint"` // Identity.ID
	Secret      Sensitive `cbor:"4,keyasint"`
	Disabled    bool      `cbor:"5,keyasint,omitempty"`
	Created     int64     `cbor:"6,keyasint"`
}
