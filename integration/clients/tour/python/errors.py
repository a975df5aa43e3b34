"""What boto3 makes of refusals: the class of each, its words, and that none is tried again."""

import json

from botocore import UNSIGNED
from botocore.config import Config
from kms import create, new_alias
from recorder import Tour, check, openssl, takes

NOBODY = "0b6f6b1e-5b1c-4d0e-8d63-2d0a1c5a9f10"


def run():
    tour = Tour()
    kms = tour.client("kms", tries=5, mode="legacy")  # boto3's own default, where a second try would show
    key, other, disabled = create(kms), create(kms), create(kms)
    signer, mac = create(kms, KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY"), create(kms, KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")
    external = create(kms, Origin="EXTERNAL")
    kms.disable_key(KeyId=disabled["KeyId"])
    alias = new_alias()
    kms.create_alias(AliasName=alias, TargetKeyId=key["KeyId"])
    arn, account = key["Arn"], key["AWSAccountId"]
    sealed = kms.encrypt(KeyId=alias, Plaintext=b"x")["CiphertextBlob"]

    def words(text, name, call, **arguments):
        said = tour.refused(name, call, **arguments)["Message"]
        check(said == text, call.__name__, "says", repr(said), "not", repr(text))

    words(f"Key '{arn.replace(key['KeyId'], NOBODY)}' does not exist", "NotFoundException", kms.describe_key, KeyId=NOBODY)
    words("Invalid keyId 'alias/nobody'", "NotFoundException", kms.disable_key, KeyId="alias/nobody")
    tour.refused("NotFoundException", kms.encrypt, KeyId="alias/nobody", Plaintext=b"x")
    tour.refused("InvalidArnException", kms.describe_key, KeyId="arn:aws:kms:us-east-1")
    words(f"{disabled['Arn']} is disabled.", "DisabledException", kms.encrypt, KeyId=disabled["KeyId"], Plaintext=b"x")
    words(f"{external['Arn']} is pending import.", "KMSInvalidStateException", kms.encrypt, KeyId=external["KeyId"], Plaintext=b"x")
    words(f"{arn} is not pending deletion.", "KMSInvalidStateException", kms.cancel_key_deletion, KeyId=key["KeyId"])
    tour.refused("InvalidKeyUsageException", kms.encrypt, KeyId=signer["KeyId"], Plaintext=b"x")
    words("", "InvalidCiphertextException", kms.decrypt, CiphertextBlob=sealed[:-1] + bytes([sealed[-1] ^ 1]))
    words("", "InvalidCiphertextException", kms.decrypt, CiphertextBlob=b"no ciphertext", KeyId=key["KeyId"])
    tour.refused("IncorrectKeyException", kms.decrypt, CiphertextBlob=sealed, KeyId=other["KeyId"])
    words("", "KMSInvalidSignatureException", kms.verify, KeyId=signer["KeyId"], Message=b"x", Signature=b"y", SigningAlgorithm="ECDSA_SHA_256")
    words("", "KMSInvalidMacException", kms.verify_mac, KeyId=mac["KeyId"], Message=b"x", Mac=b"y" * 32, MacAlgorithm="HMAC_SHA_256")
    tour.refused("AlreadyExistsException", kms.create_alias, AliasName=alias, TargetKeyId=other["KeyId"])
    tour.refused("InvalidAliasNameException", kms.create_alias, AliasName="no/alias", TargetKeyId=key["KeyId"])
    tour.refused("InvalidMarkerException", kms.list_keys, Marker="no marker")
    tour.refused("MalformedPolicyDocumentException", kms.put_key_policy, KeyId=key["KeyId"], PolicyName="default", Policy="{")
    tour.refused("TagException", kms.tag_resource, KeyId=key["KeyId"], Tags=[{"TagKey": "aws:a", "TagValue": ""}])
    tour.refused("UnsupportedOperationException", kms.enable_key_rotation, KeyId=signer["KeyId"])
    tour.refused("NotFoundException", kms.revoke_grant, KeyId=key["KeyId"], GrantId="f" * 64)
    tour.refused("InvalidGrantIdException", kms.revoke_grant, KeyId=key["KeyId"], GrantId="no grant id")
    tour.refused("InvalidGrantTokenException", kms.retire_grant, GrantToken="no token")
    ceremony = kms.get_parameters_for_import(KeyId=external["KeyId"], WrappingAlgorithm="RSAES_OAEP_SHA_1", WrappingKeySpec="RSA_2048")
    wrap = lambda material: openssl("pkeyutl", "-encrypt", "-pubin", "-inkey", "{key}", "-keyform", "DER", "-in", "{material}",
                                    "-pkeyopt", "rsa_padding_mode:oaep", key=ceremony["PublicKey"], material=material)
    load = dict(KeyId=external["KeyId"], ExpirationModel="KEY_MATERIAL_DOES_NOT_EXPIRE")
    tour.refused("InvalidImportTokenException", kms.import_key_material, ImportToken=b"no token", EncryptedKeyMaterial=b"x", **load)
    kms.import_key_material(ImportToken=ceremony["ImportToken"], EncryptedKeyMaterial=wrap(b"a" * 32), **load)
    tour.refused("IncorrectKeyMaterialException", kms.import_key_material, ImportToken=ceremony["ImportToken"], EncryptedKeyMaterial=wrap(b"b" * 32), **load)
    words("1 validation error detected: Value at 'plaintext' failed to satisfy constraint: Member must have length less than or equal to 4096",
          "ValidationException", kms.encrypt, KeyId=key["KeyId"], Plaintext=b"x" * 4097)
    tour.refused("LimitExceededException", kms.put_key_policy, KeyId=key["KeyId"], PolicyName="default", Policy=json.dumps({"Id": "x" * 32768}))
    if takes(kms, "Encrypt", "DryRun"):
        tour.refused("DryRunOperationException", kms.encrypt, KeyId=key["KeyId"], Plaintext=b"x", DryRun=True)
        tour.refused("DisabledException", kms.encrypt, KeyId=disabled["KeyId"], Plaintext=b"x", DryRun=True)

    kms.put_key_policy(KeyId=other["KeyId"], PolicyName="default", Policy=json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:root"}, "NotAction": "kms:Encrypt", "Resource": "*"}]}))
    denied = tour.refused("AccessDeniedException", kms.encrypt, KeyId=other["KeyId"], Plaintext=b"x")["Message"]
    check(f"arn:aws:iam::{account}:root" in denied and "kms:Encrypt" in denied and other["Arn"] in denied, denied)

    for name, arguments in (
        ("UnrecognizedClientException", dict(aws_access_key_id="AKIA" + "7" * 16)),
        ("InvalidSignatureException", dict(aws_access_key_id=kms._request_signer._credentials.access_key, aws_secret_access_key="no secret")),
        ("MissingAuthenticationTokenException", dict(config=Config(signature_version=UNSIGNED))),
    ):
        if "aws_access_key_id" in arguments:
            arguments.setdefault("aws_secret_access_key", "no secret")
        stranger = tour.client("kms", tries=5, mode="legacy", **arguments)
        tour.refused(name, stranger.list_keys)
    print("kms: errors with", tour.sent, "requests, tried again", dict(tour.failures))


if __name__ == "__main__":
    run()
