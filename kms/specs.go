package kms

import "slices"

// KeySpec is the type of key material, spelled as AWS KMS spells it.
type KeySpec string

// KeyUsage is the one group of cryptographic operations a key serves.
type KeyUsage string

// EncryptionAlgorithm names an encryption algorithm.
type EncryptionAlgorithm string

// SigningAlgorithm names a signature algorithm.
type SigningAlgorithm string

// MacAlgorithm names a message authentication algorithm.
type MacAlgorithm string

// KeyAgreementAlgorithm names a key agreement algorithm.
type KeyAgreementAlgorithm string

// EncapsulationAlgorithm names a key encapsulation algorithm.
type EncapsulationAlgorithm string

// MessageType says what the message of Sign and Verify is.
type MessageType string

// DataKeySpec names the length of a symmetric data key.
type DataKeySpec string

// WrappingAlgorithm names how key material is encrypted for its import.
type WrappingAlgorithm string

// The key specs. SM2 is known and refused.
const (
	SymmetricDefault    KeySpec = "SYMMETRIC_DEFAULT"
	RSA2048             KeySpec = "RSA_2048"
	RSA3072             KeySpec = "RSA_3072"
	RSA4096             KeySpec = "RSA_4096"
	ECCNISTP256         KeySpec = "ECC_NIST_P256"
	ECCNISTP384         KeySpec = "ECC_NIST_P384"
	ECCNISTP521         KeySpec = "ECC_NIST_P521"
	ECCSECGP256K1       KeySpec = "ECC_SECG_P256K1"
	ECCNISTEdwards25519 KeySpec = "ECC_NIST_EDWARDS25519"
	HMAC224             KeySpec = "HMAC_224"
	HMAC256             KeySpec = "HMAC_256"
	HMAC384             KeySpec = "HMAC_384"
	HMAC512             KeySpec = "HMAC_512"
	SM2                 KeySpec = "SM2"
	MLDSA44             KeySpec = "ML_DSA_44"
	MLDSA65             KeySpec = "ML_DSA_65"
	MLDSA87             KeySpec = "ML_DSA_87"
	MLKEM512            KeySpec = "ML_KEM_512"
	MLKEM768            KeySpec = "ML_KEM_768"
	MLKEM1024           KeySpec = "ML_KEM_1024"
)

// The key usages.
const (
	EncryptDecrypt         KeyUsage = "ENCRYPT_DECRYPT"
	SignVerify             KeyUsage = "SIGN_VERIFY"
	GenerateVerifyMac      KeyUsage = "GENERATE_VERIFY_MAC"
	KeyAgreement           KeyUsage = "KEY_AGREEMENT"
	EncapsulateDecapsulate KeyUsage = "ENCAPSULATE_DECAPSULATE"
)

// The algorithms. Those of SM2 are known and refused.
const (
	AlgorithmSymmetricDefault EncryptionAlgorithm = "SYMMETRIC_DEFAULT"
	RSAESOAEPSHA1             EncryptionAlgorithm = "RSAES_OAEP_SHA_1"
	RSAESOAEPSHA256           EncryptionAlgorithm = "RSAES_OAEP_SHA_256"
	SM2PKE                    EncryptionAlgorithm = "SM2PKE"

	RSASSAPSSSHA256   SigningAlgorithm = "RSASSA_PSS_SHA_256"
	RSASSAPSSSHA384   SigningAlgorithm = "RSASSA_PSS_SHA_384"
	RSASSAPSSSHA512   SigningAlgorithm = "RSASSA_PSS_SHA_512"
	RSASSAPKCS1SHA256 SigningAlgorithm = "RSASSA_PKCS1_V1_5_SHA_256"
	RSASSAPKCS1SHA384 SigningAlgorithm = "RSASSA_PKCS1_V1_5_SHA_384"
	RSASSAPKCS1SHA512 SigningAlgorithm = "RSASSA_PKCS1_V1_5_SHA_512"
	ECDSASHA256       SigningAlgorithm = "ECDSA_SHA_256"
	ECDSASHA384       SigningAlgorithm = "ECDSA_SHA_384"
	ECDSASHA512       SigningAlgorithm = "ECDSA_SHA_512"
	SM2DSA            SigningAlgorithm = "SM2DSA"
	MLDSASHAKE256     SigningAlgorithm = "ML_DSA_SHAKE_256"
	Ed25519SHA512     SigningAlgorithm = "ED25519_SHA_512"
	Ed25519PHSHA512   SigningAlgorithm = "ED25519_PH_SHA_512"

	HMACSHA224 MacAlgorithm = "HMAC_SHA_224"
	HMACSHA256 MacAlgorithm = "HMAC_SHA_256"
	HMACSHA384 MacAlgorithm = "HMAC_SHA_384"
	HMACSHA512 MacAlgorithm = "HMAC_SHA_512"

	ECDH  KeyAgreementAlgorithm  = "ECDH"
	MLKEM EncapsulationAlgorithm = "ML_KEM"

	MessageRaw        MessageType = "RAW"
	MessageDigest     MessageType = "DIGEST"
	MessageExternalMu MessageType = "EXTERNAL_MU"

	DataKeyAES128 DataKeySpec = "AES_128"
	DataKeyAES256 DataKeySpec = "AES_256"

	WrapRSAESOAEPSHA1   WrappingAlgorithm = "RSAES_OAEP_SHA_1"
	WrapRSAESOAEPSHA256 WrappingAlgorithm = "RSAES_OAEP_SHA_256"
	WrapRSAAESSHA1      WrappingAlgorithm = "RSA_AES_KEY_WRAP_SHA_1"
	WrapRSAAESSHA256    WrappingAlgorithm = "RSA_AES_KEY_WRAP_SHA_256"
)

// Every spelling of AWS KMS, in its order. What is in these lists and not served is answered with
// CodeUnsupported rather than called invalid.
var (
	KeySpecs = []KeySpec{
		RSA2048, RSA3072, RSA4096, ECCNISTP256, ECCNISTP384, ECCNISTP521, ECCSECGP256K1, SymmetricDefault,
		HMAC224, HMAC256, HMAC384, HMAC512, SM2, MLDSA44, MLDSA65, MLDSA87, ECCNISTEdwards25519, MLKEM512, MLKEM768, MLKEM1024,
	}
	KeyUsages            = []KeyUsage{SignVerify, EncryptDecrypt, GenerateVerifyMac, KeyAgreement, EncapsulateDecapsulate}
	EncryptionAlgorithms = []EncryptionAlgorithm{AlgorithmSymmetricDefault, RSAESOAEPSHA1, RSAESOAEPSHA256, SM2PKE}
	SigningAlgorithms    = []SigningAlgorithm{
		RSASSAPSSSHA256, RSASSAPSSSHA384, RSASSAPSSSHA512, RSASSAPKCS1SHA256, RSASSAPKCS1SHA384, RSASSAPKCS1SHA512,
		ECDSASHA256, ECDSASHA384, ECDSASHA512, SM2DSA, MLDSASHAKE256, Ed25519SHA512, Ed25519PHSHA512,
	}
	MacAlgorithms           = []MacAlgorithm{HMACSHA224, HMACSHA256, HMACSHA384, HMACSHA512}
	KeyAgreementAlgorithms  = []KeyAgreementAlgorithm{ECDH}
	EncapsulationAlgorithms = []EncapsulationAlgorithm{MLKEM}
	MessageTypes            = []MessageType{MessageRaw, MessageDigest, MessageExternalMu}
	DataKeySpecs            = []DataKeySpec{DataKeyAES256, DataKeyAES128}
	DataKeyPairSpecs        = []KeySpec{
		RSA2048, RSA3072, RSA4096, ECCNISTP256, ECCNISTP384, ECCNISTP521, ECCSECGP256K1, SM2, ECCNISTEdwards25519, MLKEM512, MLKEM768, MLKEM1024,
	}
	WrappingAlgorithms = []WrappingAlgorithm{WrapRSAESOAEPSHA1, WrapRSAESOAEPSHA256, WrapRSAAESSHA1, WrapRSAAESSHA256}
	WrappingKeySpecs   = []KeySpec{RSA2048, RSA3072, RSA4096}
)

// Spec says what keys of one spec are for.
type Spec struct {
	Usages        []KeyUsage // a key has one of them; without a word of the caller only ENCRYPT_DECRYPT of SYMMETRIC_DEFAULT
	Encryption    []EncryptionAlgorithm
	Signing       []SigningAlgorithm
	Mac           []MacAlgorithm
	Agreement     []KeyAgreementAlgorithm
	Encapsulation []EncapsulationAlgorithm
	Importable    bool // of origin EXTERNAL too
	Asymmetric    bool
}

// specs is the table of
// https://docs.aws.amazon.com/kms/latest/developerguide/symm-asymm-choose-key-spec.html, without SM2.
var specs = func() map[KeySpec]*Spec {
	rsa := &Spec{Usages: []KeyUsage{EncryptDecrypt, SignVerify}, Encryption: []EncryptionAlgorithm{RSAESOAEPSHA1, RSAESOAEPSHA256},
		Signing:    []SigningAlgorithm{RSASSAPKCS1SHA256, RSASSAPKCS1SHA384, RSASSAPKCS1SHA512, RSASSAPSSSHA256, RSASSAPSSSHA384, RSASSAPSSSHA512},
		Importable: true, Asymmetric: true}
	nist := func(a SigningAlgorithm) *Spec {
		return &Spec{Usages: []KeyUsage{SignVerify, KeyAgreement}, Signing: []SigningAlgorithm{a}, Agreement: []KeyAgreementAlgorithm{ECDH},
			Importable: true, Asymmetric: true}
	}
	signs := func(importable bool, a ...SigningAlgorithm) *Spec {
		return &Spec{Usages: []KeyUsage{SignVerify}, Signing: a, Importable: importable, Asymmetric: true}
	}
	hmac := func(a MacAlgorithm) *Spec {
		return &Spec{Usages: []KeyUsage{GenerateVerifyMac}, Mac: []MacAlgorithm{a}, Importable: true}
	}
	mlDSA := signs(false, MLDSASHAKE256)
	mlKEM := &Spec{Usages: []KeyUsage{EncapsulateDecapsulate}, Encapsulation: []EncapsulationAlgorithm{MLKEM}, Asymmetric: true}
	return map[KeySpec]*Spec{
		SymmetricDefault: {Usages: []KeyUsage{EncryptDecrypt}, Encryption: []EncryptionAlgorithm{AlgorithmSymmetricDefault}, Importable: true},
		RSA2048:          rsa, RSA3072: rsa, RSA4096: rsa,
		ECCNISTP256: nist(ECDSASHA256), ECCNISTP384: nist(ECDSASHA384), ECCNISTP521: nist(ECDSASHA512),
		ECCSECGP256K1:       signs(true, ECDSASHA256),
		ECCNISTEdwards25519: signs(true, Ed25519SHA512, Ed25519PHSHA512),
		HMAC224:             hmac(HMACSHA224), HMAC256: hmac(HMACSHA256), HMAC384: hmac(HMACSHA384), HMAC512: hmac(HMACSHA512),
		MLDSA44: mlDSA, MLDSA65: mlDSA, MLDSA87: mlDSA,
		MLKEM512: mlKEM, MLKEM768: mlKEM, MLKEM1024: mlKEM,
	}
}()

// Spec returns what keys of the spec are for; false for SM2 and for what is no spec.
func (s KeySpec) Spec() (*Spec, bool) {
	spec, ok := specs[s]
	return spec, ok
}

// Serves reports whether keys of the spec may have the usage.
func (s *Spec) Serves(u KeyUsage) bool { return slices.Contains(s.Usages, u) }
