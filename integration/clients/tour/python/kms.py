"""Every operation of KMS that boto3 knows, answered as a user of the client needs it."""

import datetime
import hashlib
import json
import os
import uuid

from recorder import Tour, check, openssl, takes

# What this product does not have, and how it says so.
NOT_SERVED = {
    name + "CustomKeyStore": "UnsupportedOperationException" for name in ("Create", "Update", "Delete", "Connect", "Disconnect")
}

CONTEXT = {"tenant": "7", "purpose": "tour"}


def new_alias():
    return "alias/tour/" + uuid.uuid4().hex


def create(kms, **arguments):
    """A new key's metadata, checked."""
    key = kms.create_key(**arguments)["KeyMetadata"]
    check(key["Arn"] == f"arn:aws:kms:{kms.meta.region_name}:{key['AWSAccountId']}:key/{key['KeyId']}", key)
    check(isinstance(key["CreationDate"], datetime.datetime) and key["CreationDate"].tzinfo is not None, key)
    for member in ("Enabled", "Description", "KeyUsage", "KeyState", "Origin", "KeyManager", "CustomerMasterKeySpec", "KeySpec", "MultiRegion"):
        check(member in key, member, "is missing in", key)
    return key


def keys_and_aliases(tour, kms):
    key = create(kms, Description="first", Tags=[{"TagKey": "tour", "TagValue": "kms"}])
    check(key["EncryptionAlgorithms"] == ["SYMMETRIC_DEFAULT"] and key["KeyState"] == "Enabled" and key["Enabled"] is True, key)
    arn, key_id, alias = key["Arn"], key["KeyId"], new_alias()
    alias_arn = arn.replace("key/" + key_id, alias)
    kms.create_alias(AliasName=alias, TargetKeyId=key_id)
    for name in (key_id, arn, alias, alias_arn):
        check(kms.describe_key(KeyId=name)["KeyMetadata"] == key, "DescribeKey of", name)

    kms.update_key_description(KeyId=key_id, Description="renamed")
    check(kms.describe_key(KeyId=key_id)["KeyMetadata"]["Description"] == "renamed", "the description")
    kms.disable_key(KeyId=arn)
    described = kms.describe_key(KeyId=alias)["KeyMetadata"]
    check(described["KeyState"] == "Disabled" and described["Enabled"] is False, described)
    for name in (key_id, arn, alias, alias_arn):
        tour.refused("DisabledException", kms.encrypt, KeyId=name, Plaintext=b"x")
    kms.enable_key(KeyId=key_id)

    check({"KeyId": key_id, "KeyArn": arn} in tour.pages(kms, "list_keys", "Keys"), "ListKeys lacks", arn)
    listed = {a["AliasName"]: a for a in tour.pages(kms, "list_aliases", "Aliases")}
    check(listed[alias]["TargetKeyId"] == key_id and listed[alias]["AliasArn"] == alias_arn, listed[alias])
    second = create(kms)
    kms.update_alias(AliasName=alias, TargetKeyId=second["Arn"])
    check([a["AliasName"] for a in tour.pages(kms, "list_aliases", "Aliases", KeyId=second["KeyId"])] == [alias], "the alias did not move")
    kms.delete_alias(AliasName=alias)
    tour.refused("NotFoundException", kms.describe_key, KeyId=alias)

    gone = kms.schedule_key_deletion(KeyId=second["KeyId"], PendingWindowInDays=7)
    check(gone["KeyId"] == second["Arn"] and gone["KeyState"] == "PendingDeletion" and gone["PendingWindowInDays"] == 7, gone)
    days = (gone["DeletionDate"] - datetime.datetime.now(datetime.timezone.utc)).total_seconds() / 86400
    check(6.9 < days < 7.1, "the key will be deleted in", days, "days")
    tour.refused("KMSInvalidStateException", kms.encrypt, KeyId=second["KeyId"], Plaintext=b"x")
    check(kms.cancel_key_deletion(KeyId=second["KeyId"])["KeyId"] == second["Arn"], "CancelKeyDeletion")
    check(kms.describe_key(KeyId=second["KeyId"])["KeyMetadata"]["KeyState"] == "Disabled", "a key whose deletion was cancelled")


def fast_changes(tour, kms):
    """Equal changes that follow each other within a second are as many changes."""
    keys = {create(kms)["KeyId"] for _ in range(4)}
    check(len(keys) == 4, "four equal CreateKey made", keys)
    for key in keys:
        for state, change in (("Disabled", kms.disable_key), ("Enabled", kms.enable_key)) * 3:
            change(KeyId=key)
            check(kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == state, change.__name__, "was lost")


def tags_and_policies(tour, kms):
    key = create(kms, Tags=[{"TagKey": "a", "TagValue": "1"}])
    kms.tag_resource(KeyId=key["Arn"], Tags=[{"TagKey": "b", "TagValue": ""}, {"TagKey": "a", "TagValue": "2"}])
    tags = tour.pages(kms, "list_resource_tags", "Tags", KeyId=key["KeyId"])
    check(tags == [{"TagKey": "a", "TagValue": "2"}, {"TagKey": "b", "TagValue": ""}], tags)
    kms.untag_resource(KeyId=key["KeyId"], TagKeys=["a"])
    check(kms.list_resource_tags(KeyId=key["KeyId"])["Tags"] == [{"TagKey": "b", "TagValue": ""}], "a tag stayed")

    check(tour.pages(kms, "list_key_policies", "PolicyNames", KeyId=key["KeyId"]) == ["default"], "the names of policies")
    policy = json.loads(kms.get_key_policy(KeyId=key["KeyId"], PolicyName="default")["Policy"])
    root = f"arn:aws:iam::{key['AWSAccountId']}:root"
    check(policy["Id"] == "key-default-1" and policy["Statement"][0]["Principal"] == {"AWS": root}, policy)
    policy["Statement"].append({"Sid": "read", "Effect": "Allow", "Principal": {"AWS": root}, "Action": ["kms:DescribeKey"], "Resource": "*"})
    kms.put_key_policy(KeyId=key["KeyId"], PolicyName="default", Policy=json.dumps(policy))
    check(json.loads(kms.get_key_policy(KeyId=key["Arn"], PolicyName="default")["Policy"]) == policy, "the policy that was put")


def encryption(tour, kms):
    key, other, alias = create(kms), create(kms), new_alias()
    kms.create_alias(AliasName=alias, TargetKeyId=key["KeyId"])
    sealed = kms.encrypt(KeyId=alias, Plaintext=b"a secret", EncryptionContext=CONTEXT)
    check(sealed["KeyId"] == key["Arn"] and sealed["EncryptionAlgorithm"] == "SYMMETRIC_DEFAULT", sealed)
    opened = kms.decrypt(CiphertextBlob=sealed["CiphertextBlob"], EncryptionContext=dict(reversed(CONTEXT.items())))
    check(opened["Plaintext"] == b"a secret" and opened["KeyId"] == key["Arn"], opened)
    tour.refused("InvalidCiphertextException", kms.decrypt, CiphertextBlob=sealed["CiphertextBlob"], EncryptionContext={"Tenant": "7", "purpose": "tour"})

    moved = kms.re_encrypt(CiphertextBlob=sealed["CiphertextBlob"], SourceEncryptionContext=CONTEXT, DestinationKeyId=other["KeyId"])
    check(moved["SourceKeyId"] == key["Arn"] and moved["KeyId"] == other["Arn"], moved)
    check(moved["SourceEncryptionAlgorithm"] == moved["DestinationEncryptionAlgorithm"] == "SYMMETRIC_DEFAULT", moved)
    check(kms.decrypt(CiphertextBlob=moved["CiphertextBlob"], KeyId=other["Arn"])["Plaintext"] == b"a secret", "after ReEncrypt")

    data = kms.generate_data_key(KeyId=key["KeyId"], KeySpec="AES_256", EncryptionContext=CONTEXT)
    check(len(data["Plaintext"]) == 32 and data["KeyId"] == key["Arn"], "GenerateDataKey")
    check(kms.decrypt(CiphertextBlob=data["CiphertextBlob"], EncryptionContext=CONTEXT)["Plaintext"] == data["Plaintext"], "a data key")
    bare = kms.generate_data_key_without_plaintext(KeyId=alias, NumberOfBytes=100)
    check("Plaintext" not in bare and len(kms.decrypt(CiphertextBlob=bare["CiphertextBlob"])["Plaintext"]) == 100, "GenerateDataKeyWithoutPlaintext")
    check(len(kms.generate_random(NumberOfBytes=1024)["Plaintext"]) == 1024, "GenerateRandom")

    pair = kms.generate_data_key_pair(KeyId=key["KeyId"], KeyPairSpec="ECC_NIST_P256", EncryptionContext=CONTEXT)
    check(pair["KeyId"] == key["Arn"] and pair["KeyPairSpec"] == "ECC_NIST_P256", pair)
    opened = kms.decrypt(CiphertextBlob=pair["PrivateKeyCiphertextBlob"], EncryptionContext=CONTEXT)["Plaintext"]
    check(opened == pair["PrivateKeyPlaintext"], "the private key of a pair")
    public = openssl("pkey", "-in", "{key}", "-inform", "DER", "-pubout", "-outform", "DER", key=opened)
    check(public == pair["PublicKey"], "the halves of a key pair do not belong together")
    bare = kms.generate_data_key_pair_without_plaintext(KeyId=key["KeyId"], KeyPairSpec="RSA_2048")
    check("PrivateKeyPlaintext" not in bare and kms.decrypt(CiphertextBlob=bare["PrivateKeyCiphertextBlob"])["Plaintext"], bare)

    rsa = create(kms, KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")
    check(rsa["EncryptionAlgorithms"] == ["RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"], rsa)
    public = kms.get_public_key(KeyId=rsa["KeyId"])
    check(public["KeyId"] == rsa["Arn"] and public["KeySpec"] == "RSA_2048" and public["KeyUsage"] == "ENCRYPT_DECRYPT", public)
    outside = openssl("pkeyutl", "-encrypt", "-pubin", "-inkey", "{key}", "-keyform", "DER", "-in", "{message}", "-pkeyopt", "rsa_padding_mode:oaep",
                      "-pkeyopt", "rsa_oaep_md:sha256", "-pkeyopt", "rsa_mgf1_md:sha256", key=public["PublicKey"], message=b"from outside")
    opened = kms.decrypt(KeyId=rsa["KeyId"], CiphertextBlob=outside, EncryptionAlgorithm="RSAES_OAEP_SHA_256")
    check(opened["Plaintext"] == b"from outside" and opened["EncryptionAlgorithm"] == "RSAES_OAEP_SHA_256", opened)


def signatures(tour, kms):
    message = b"what is signed"
    digest = hashlib.sha256(message).digest()
    for spec, algorithm, options in (
        ("ECC_NIST_P256", "ECDSA_SHA_256", []),
        ("RSA_2048", "RSASSA_PKCS1_V1_5_SHA_256", []),
        ("RSA_2048", "RSASSA_PSS_SHA_256", ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"]),
    ):
        key = create(kms, KeySpec=spec, KeyUsage="SIGN_VERIFY")
        check(algorithm in key["SigningAlgorithms"], key)
        public = kms.get_public_key(KeyId=key["Arn"])
        check(public["SigningAlgorithms"] == key["SigningAlgorithms"], public)
        for content, kind in ((message, "RAW"), (digest, "DIGEST")):
            signed = kms.sign(KeyId=key["KeyId"], Message=content, MessageType=kind, SigningAlgorithm=algorithm)
            check(signed["KeyId"] == key["Arn"] and signed["SigningAlgorithm"] == algorithm, signed)
            openssl("dgst", "-sha256", *options, "-verify", "{key}", "-signature", "{signature}", "{message}",
                    key=openssl("pkey", "-pubin", "-inform", "DER", "-in", "{der}", der=public["PublicKey"]), signature=signed["Signature"], message=message)
            verified = kms.verify(KeyId=key["KeyId"], Message=message, Signature=signed["Signature"], SigningAlgorithm=algorithm)
            check(verified["SignatureValid"] is True and verified["KeyId"] == key["Arn"], verified)
        tour.refused("KMSInvalidSignatureException", kms.verify, KeyId=key["KeyId"], Message=b"another", Signature=signed["Signature"], SigningAlgorithm=algorithm)

    key = create(kms, KeySpec="HMAC_384", KeyUsage="GENERATE_VERIFY_MAC")
    check(key["MacAlgorithms"] == ["HMAC_SHA_384"], key)
    mac = kms.generate_mac(KeyId=key["KeyId"], Message=message, MacAlgorithm="HMAC_SHA_384")
    check(len(mac["Mac"]) == 48 and mac["KeyId"] == key["Arn"] and mac["MacAlgorithm"] == "HMAC_SHA_384", mac)
    verified = kms.verify_mac(KeyId=key["Arn"], Message=message, MacAlgorithm="HMAC_SHA_384", Mac=mac["Mac"])
    check(verified["MacValid"] is True and verified["MacAlgorithm"] == "HMAC_SHA_384", verified)


def agreement(tour, kms):
    """Both sides of an agreement come to the same secret, openssl to a third."""
    if not takes(kms, "DeriveSharedSecret", "PublicKey"):
        return
    a, b = (create(kms, KeySpec="ECC_NIST_P384", KeyUsage="KEY_AGREEMENT") for _ in range(2))
    check(a["KeyAgreementAlgorithms"] == ["ECDH"], a)
    derive = lambda of, public: kms.derive_shared_secret(KeyId=of["KeyId"], KeyAgreementAlgorithm="ECDH", PublicKey=public)
    public = kms.get_public_key(KeyId=a["KeyId"])["PublicKey"]
    one, two = derive(a, kms.get_public_key(KeyId=b["KeyId"])["PublicKey"]), derive(b, public)
    check(one["SharedSecret"] == two["SharedSecret"] and one["KeyId"] == a["Arn"] and one["KeyOrigin"] == "AWS_KMS", one)
    private = openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384")
    here = openssl("pkeyutl", "-derive", "-inkey", "{private}", "-peerkey", "{peer}", "-peerform", "DER", private=private, peer=public)
    check(derive(a, openssl("pkey", "-in", "{private}", "-pubout", "-outform", "DER", private=private))["SharedSecret"] == here, "openssl's secret")


def grants(tour, kms):
    key = create(kms)
    root = f"arn:aws:iam::{key['AWSAccountId']}:root"
    wanted = dict(KeyId=key["KeyId"], GranteePrincipal=root, RetiringPrincipal=root, Operations=["Encrypt", "Decrypt", "RetireGrant"],
                  Constraints={"EncryptionContextSubset": {"tenant": "7"}})
    first = kms.create_grant(Name="tour", **wanted)
    again = kms.create_grant(Name="tour", **wanted)
    check(first["GrantId"] == again["GrantId"] and first["GrantToken"] != again["GrantToken"], first, again)
    second = kms.create_grant(**wanted)
    sealed = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x", EncryptionContext=CONTEXT, GrantTokens=[second["GrantToken"]])
    check(kms.decrypt(CiphertextBlob=sealed["CiphertextBlob"], EncryptionContext=CONTEXT, GrantTokens=[first["GrantToken"]])["Plaintext"] == b"x", "by a grant")
    listed = {g["GrantId"]: g for g in tour.pages(kms, "list_grants", "Grants", KeyId=key["Arn"])}
    check(set(listed) == {first["GrantId"], second["GrantId"]}, listed)
    grant = listed[first["GrantId"]]
    check(grant["KeyId"] == key["Arn"] and grant["Name"] == "tour" and grant["IssuingAccount"] == root, grant)
    check(sorted(grant["Operations"]) == sorted(wanted["Operations"]) and grant["Constraints"] == wanted["Constraints"], grant)
    check(grant["GranteePrincipal"] == grant["RetiringPrincipal"] == root and isinstance(grant["CreationDate"], datetime.datetime), grant)
    retirable = {g["GrantId"] for g in tour.pages(kms, "list_retirable_grants", "Grants", RetiringPrincipal=root)}
    check(set(listed) <= retirable, "ListRetirableGrants lacks", set(listed) - retirable)
    kms.retire_grant(GrantToken=second["GrantToken"])
    kms.revoke_grant(KeyId=key["KeyId"], GrantId=first["GrantId"])
    check(kms.list_grants(KeyId=key["KeyId"])["Grants"] == [], "grants were left")


def rotation(tour, kms):
    key = create(kms)
    sealed = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"before")["CiphertextBlob"]
    check(kms.get_key_rotation_status(KeyId=key["KeyId"])["KeyRotationEnabled"] is False, "rotation of a new key")
    kms.enable_key_rotation(KeyId=key["KeyId"], **({"RotationPeriodInDays": 100} if takes(kms, "EnableKeyRotation", "RotationPeriodInDays") else {}))
    status = kms.get_key_rotation_status(KeyId=key["Arn"])
    check(status["KeyRotationEnabled"] is True, status)
    if takes(kms, "RotateKeyOnDemand", "KeyId"):
        check(status["RotationPeriodInDays"] == 100 and isinstance(status["NextRotationDate"], datetime.datetime) and status["KeyId"] == key["Arn"], status)
        check(kms.rotate_key_on_demand(KeyId=key["KeyId"])["KeyId"] == key["Arn"], "RotateKeyOnDemand")
        rotations = tour.pages(kms, "list_key_rotations", "Rotations", KeyId=key["KeyId"])
        check([(r["KeyId"], r["RotationType"]) for r in rotations] == [(key["Arn"], "ON_DEMAND")], rotations)
        if takes(kms, "ListKeyRotations", "IncludeKeyMaterial"):
            states = [m["KeyMaterialState"] for m in kms.list_key_rotations(KeyId=key["KeyId"], IncludeKeyMaterial="ALL_KEY_MATERIAL")["Rotations"]]
            check(sorted(states) == ["CURRENT", "NON_CURRENT"], states)
    kms.disable_key_rotation(KeyId=key["KeyId"])
    check(kms.get_key_rotation_status(KeyId=key["KeyId"])["KeyRotationEnabled"] is False, "rotation stayed on")
    check(kms.decrypt(CiphertextBlob=sealed)["Plaintext"] == b"before", "a ciphertext from before the rotation")


def imported_material(tour, kms):
    key = create(kms, Origin="EXTERNAL")
    check(key["KeyState"] == "PendingImport" and key["Enabled"] is False and "ExpirationModel" not in key, key)
    ceremony = kms.get_parameters_for_import(KeyId=key["KeyId"], WrappingAlgorithm="RSAES_OAEP_SHA_256", WrappingKeySpec="RSA_2048")
    check(ceremony["KeyId"] == key["Arn"] and isinstance(ceremony["ParametersValidTo"], datetime.datetime), ceremony)
    material = os.urandom(32)
    wrapped = openssl("pkeyutl", "-encrypt", "-pubin", "-inkey", "{key}", "-keyform", "DER", "-in", "{material}", "-pkeyopt", "rsa_padding_mode:oaep",
                      "-pkeyopt", "rsa_oaep_md:sha256", "-pkeyopt", "rsa_mgf1_md:sha256", key=ceremony["PublicKey"], material=material)
    valid_to = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0) + datetime.timedelta(days=30)
    kms.import_key_material(KeyId=key["KeyId"], ImportToken=ceremony["ImportToken"], EncryptedKeyMaterial=wrapped,
                            ExpirationModel="KEY_MATERIAL_EXPIRES", ValidTo=valid_to)
    described = kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]
    check(described["KeyState"] == "Enabled" and described["ExpirationModel"] == "KEY_MATERIAL_EXPIRES" and described["ValidTo"] == valid_to, described)
    sealed = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"imported")["CiphertextBlob"]
    kms.delete_imported_key_material(KeyId=key["KeyId"])
    tour.refused("KMSInvalidStateException", kms.decrypt, CiphertextBlob=sealed)
    kms.import_key_material(KeyId=key["KeyId"], ImportToken=ceremony["ImportToken"], EncryptedKeyMaterial=wrapped,
                            ExpirationModel="KEY_MATERIAL_DOES_NOT_EXPIRE")
    check(kms.decrypt(CiphertextBlob=sealed)["Plaintext"] == b"imported", "material that was imported again")


def regions(tour, kms):
    here, there = kms.meta.region_name, "eu-west-1"
    abroad = tour.client("kms", region=there)
    key = create(kms, MultiRegion=True, Description="primary")
    check(key["KeyId"].startswith("mrk-") and key["MultiRegionConfiguration"]["MultiRegionKeyType"] == "PRIMARY", key)
    answer = kms.replicate_key(KeyId=key["KeyId"], ReplicaRegion=there, Description="replica", Tags=[{"TagKey": "a", "TagValue": "1"}])
    replica = answer["ReplicaKeyMetadata"]
    check(replica["Arn"] == key["Arn"].replace(here, there) and replica["MultiRegionConfiguration"]["PrimaryKey"] == {"Arn": key["Arn"], "Region": here}, replica)
    check(answer["ReplicaTags"] == [{"TagKey": "a", "TagValue": "1"}] and "key-default-1" in answer["ReplicaPolicy"], answer)
    check(abroad.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["KeyState"] == "Enabled", "the replica")
    sealed = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"here")["CiphertextBlob"]
    opened = abroad.decrypt(CiphertextBlob=sealed, KeyId=replica["Arn"])
    check(opened["Plaintext"] == b"here" and opened["KeyId"] == replica["Arn"], opened)
    kms.update_primary_region(KeyId=key["KeyId"], PrimaryRegion=there)
    configuration = kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["MultiRegionConfiguration"]
    check(configuration["MultiRegionKeyType"] == "REPLICA" and configuration["PrimaryKey"]["Region"] == there, configuration)


def key_stores(tour, kms):
    check(tour.pages(kms, "describe_custom_key_stores", "CustomKeyStores") == [], "key stores")
    tour.refused("CustomKeyStoreNotFoundException", kms.describe_custom_key_stores, CustomKeyStoreId="cks-1234567890abcdef0")
    unsupported = "UnsupportedOperationException"
    tour.refused(unsupported, kms.create_custom_key_store, CustomKeyStoreName="outside", CloudHsmClusterId="cluster-abcdefghijk",
                 KeyStorePassword="kmsPswd1", TrustAnchorCertificate="-----BEGIN CERTIFICATE-----")
    for call in (kms.connect_custom_key_store, kms.disconnect_custom_key_store, kms.delete_custom_key_store):
        tour.refused(unsupported, call, CustomKeyStoreId="cks-1234567890abcdef0")
    tour.refused(unsupported, kms.update_custom_key_store, CustomKeyStoreId="cks-1234567890abcdef0", NewCustomKeyStoreName="other")


def last_use(tour, kms):
    if not takes(kms, "GetKeyLastUsage", "KeyId"):
        return
    key = create(kms)
    unused = kms.get_key_last_usage(KeyId=key["KeyId"])
    check(unused["KeyId"] == key["Arn"] and not unused.get("KeyLastUsage") and unused["KeyCreationDate"] == key["CreationDate"], unused)
    kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x")
    used = kms.get_key_last_usage(KeyId=key["Arn"])["KeyLastUsage"]
    check(used["Operation"] == "Encrypt" and isinstance(used["Timestamp"], datetime.datetime), used)


def run():
    tour = Tour()
    kms = tour.client("kms")
    for step in (keys_and_aliases, fast_changes, tags_and_policies, encryption, signatures, agreement, grants, rotation, imported_material, regions, key_stores, last_use):
        step(tour, kms)
    check(kms.waiter_names == [], "this client has waiters that the tour does not use:", kms.waiter_names)
    tour.finish(kms, NOT_SERVED)


if __name__ == "__main__":
    run()
