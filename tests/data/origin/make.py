#!/usr/bin/env python3
"""Makes the certificates, CRLs and OCSP responses of this directory with the openssl command. Run it after a change here;
what it writes is checked in, without the private keys. Tests bring their own time: NOW below.

    Lab Root (P-256) ── Lab Intermediate (P-256, pathlen 0) ── the origins' certificates

and beside it the roots and intermediates that a name says. `chain-X.pem` is what an origin would send.
"""

import pathlib
import shutil
import subprocess
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
# Tests are at 2027-06-01: behind the OCSP responses, which openssl dates with the real time.
START, END = "20200101000000Z", "21200101000000Z"
PAST, FUTURE = "20210101000000Z", "20900101000000Z"

CA = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n"
INTERMEDIATE = (
    "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\n"
    "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
)
LEAF = (
    "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth\n"
    "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
)
WWW = LEAF + "subjectAltName=DNS:www.example.com\n"

work = pathlib.Path(tempfile.mkdtemp())


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, cwd=work)


def make_key(name, kind):
    path = work / f"{name}.key"
    if kind.startswith("rsa"):
        openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", f"rsa_keygen_bits:{kind[3:]}", "-out", path)
    elif kind == "ed25519":
        openssl("genpkey", "-algorithm", "ED25519", "-out", path)
    else:
        openssl("genpkey", "-algorithm", "EC", "-pkeyopt", f"ec_paramgen_curve:{kind}", "-out", path)
    return path


class Authority:
    """A key and a certificate that issues others, with the data base that `openssl ca` wants."""

    def __init__(self, name, subject, kind="P-256", parent=None, extensions=CA, key=None, start=START, end=END, **issue):
        self.name, self.subject = name, subject
        self.key = key or make_key(name, kind)
        self.directory = work / f"{name}.d"
        self.directory.mkdir()
        (self.directory / "index.txt").touch()
        (self.directory / "index.txt.attr").write_text("unique_subject = no\n")
        (self.directory / "serial").write_text(issue.pop("first_serial", "1000") + "\n")
        (self.directory / "crlnumber").write_text("01\n")
        (self.directory / "conf").write_text(
            "[ca]\ndefault_ca=d\n[d]\n"
            f"dir={self.directory}\ndatabase=$dir/index.txt\nserial=$dir/serial\ncrlnumber=$dir/crlnumber\n"
            "new_certs_dir=$dir\ndefault_md=sha256\npolicy=p\ncrl_extensions=crl\nunique_subject=no\n"
            "[p]\ncommonName=optional\n[crl]\nauthorityKeyIdentifier=keyid\n"
        )
        self.cert = work / f"{name}.pem"
        issuer = parent or self
        issuer.issue(name, subject, self.key, extensions, start=start, end=end, selfsign=parent is None, **issue)

    def issue(self, name, subject, key, extensions, start=START, end=END, selfsign=False, md="sha256", sigopts=()):
        request = work / f"{name}.csr"
        openssl("req", "-new", "-key", key, "-subj", subject, "-out", request)
        (work / f"{name}.ext").write_text(extensions)
        signer = ["-selfsign"] if selfsign else ["-cert", self.cert]
        openssl(
            "ca", "-batch", "-notext", "-config", self.directory / "conf", "-keyfile", self.key, *signer, "-in", request,
            "-out", work / f"{name}.pem", "-startdate", start, "-enddate", end, "-md", md, "-extfile", work / f"{name}.ext",
            *[word for option in sigopts for word in ("-sigopt", option)], "-preserveDN",
        )  # fmt: skip
        return work / f"{name}.pem"

    def revoke(self, certificate):
        openssl("ca", "-config", self.directory / "conf", "-keyfile", self.key, "-cert", self.cert, "-revoke", certificate)

    def crl(self, name, last="20270101000000Z", following="20900101000000Z", extensions=None):
        more = []
        if extensions:
            with (self.directory / "conf").open("a") as conf:
                conf.write(f"[{name}]\n{extensions}")
            more = ["-crlexts", name]
        openssl(
            "ca", "-gencrl", "-config", self.directory / "conf", "-keyfile", self.key, "-cert", self.cert, "-out",
            HERE / f"{name}.crl", "-crl_lastupdate", last, "-crl_nextupdate", following, *more,
        )  # fmt: skip

    def staple(self, name, certificate, signer=None, days=30000, digest="sha1"):
        cert, key = signer or (self.cert, self.key)
        openssl(
            "ocsp", "-index", self.directory / "index.txt", "-rsigner", cert, "-rkey", key, "-CA", self.cert,
            f"-{digest}", "-issuer", self.cert, "-cert", certificate, "-respout", HERE / f"{name}.ocsp", "-ndays", days,
            "-no_nonce",
        )  # fmt: skip


def keep(name, *certificates):
    """certificates: PEM files, the origin's own first."""
    (HERE / f"{name}.pem").write_text("".join(path.read_text() for path in certificates))


for old in [*HERE.glob("*.pem"), *HERE.glob("*.crl"), *HERE.glob("*.ocsp")]:
    old.unlink()

root = Authority("root", "/CN=Lab Root")
inter = Authority("inter", "/CN=Lab Intermediate", parent=root, extensions=INTERMEDIATE)
key = make_key("leaf", "P-256")


def leaf(name, extensions=WWW, subject="/CN=www.example.com", by=inter, leaf_key=key, above=None, **issue):
    path = by.issue(name, subject, leaf_key, extensions, **issue)
    keep(f"chain-{name}", path, *([by.cert] if above is None else above))
    return path


keep("root", root.cert)
keep("intermediate", inter.cert)

# --- dates, names, purposes
good = leaf("good")
keep("chain-missing-intermediate", good)
leaf("expired", end=PAST)
leaf("not-yet-valid", start=FUTURE)
leaf("wildcard", LEAF + "subjectAltName=DNS:*.example.com\n")
leaf("address", LEAF + "subjectAltName=IP:192.0.2.7,IP:2001:db8::7\n", subject="/")
leaf("common-name-alone", LEAF)
leaf("1000-names", LEAF + "subjectAltName=" + ",".join(f"DNS:host-{i}.example.com" for i in range(1000)) + "\n")
leaf("for-clients", WWW.replace("serverAuth", "clientAuth"))
leaf("unknown-critical", WWW + "1.2.3.4.5=critical,ASN1:UTF8:what\n")
leaf("must-staple", WWW + "tlsfeature=status_request\n")
leaf("duplicated", above=[inter.cert, inter.cert, root.cert, good])

# --- no root of ours
openssl("req", "-x509", "-key", key, "-subj", "/CN=www.example.com", "-days", "36500", "-addext",
        "subjectAltName=DNS:www.example.com", "-out", work / "self.pem")  # fmt: skip
keep("chain-self-signed", work / "self.pem")
other = Authority("other", "/CN=Somebody Else's Root", first_serial="F000")
leaf("unknown-root", by=other)
# The name and the key identifier of the real intermediate, another key.
imposter = Authority("imposter", "/CN=Lab Intermediate", parent=other, extensions=INTERMEDIATE)
leaf("forged", by=imposter)

# --- keys and signatures
for kind in ["rsa2048", "rsa4096", "P-384", "P-521", "ed25519"]:
    md = {"P-384": "sha384", "P-521": "sha512", "ed25519": "default"}.get(kind, "sha256")
    name = kind.lower().replace("-", "")
    top = Authority(f"root-{name}", f"/CN=Lab Root {kind}", kind=kind, md=md)
    keep(f"root-{name}", top.cert)
    leaf(name, by=top, leaf_key=make_key(f"leaf-{name}", kind), above=[], md=md)
rsa = Authority("rsa", "/CN=Lab Root RSA", kind="rsa2048", md="sha1")
keep("root-rsa-sha1", rsa.cert)
leaf("by-sha1-root", by=rsa, above=[])
leaf("sha1", by=rsa, above=[], md="sha1")
leaf("md5", by=rsa, above=[], md="md5")
leaf("rsa-sha384", by=rsa, above=[], md="sha384")
leaf("rsa-sha512", by=rsa, above=[], md="sha512")
for md in ["sha256", "sha384", "sha512"]:
    leaf(f"pss-{md}", by=rsa, above=[], md=md, sigopts=["rsa_padding_mode:pss", "rsa_pss_saltlen:digest"])
leaf("rsa1024", by=root, above=[], leaf_key=make_key("rsa1024", "rsa1024"))
leaf("p192", by=root, above=[], leaf_key=make_key("p192", "P-192"))
zero = Authority("zero", "/CN=Lab Root Zero", first_serial="00")
keep("root-serial-zero", zero.cert)
leaf("below-serial-zero", by=zero, above=[])

# --- what CAs may not do
no_ca = Authority("no-ca", "/CN=Not A CA", parent=root, extensions=WWW)
leaf("issuer-not-a-ca", by=no_ca)
sub = Authority("sub", "/CN=Too Deep", parent=inter, extensions=INTERMEDIATE)
leaf("path-too-long", by=sub, above=[sub.cert, inter.cert])
no_sign = Authority("no-sign", "/CN=No keyCertSign", parent=root, extensions=INTERMEDIATE.replace("keyCertSign,", ""))
leaf("issuer-may-not-sign", by=no_sign)
mail = Authority("mail", "/CN=Mail Only", parent=root, extensions=INTERMEDIATE + "extendedKeyUsage=emailProtection\n")
leaf("issuer-for-mail", by=mail)
only_example = "nameConstraints=critical,permitted;DNS:example.com\n"
narrow = Authority("narrow", "/CN=Narrow", parent=root, extensions=INTERMEDIATE + only_example)
leaf("within-constraints", by=narrow)
leaf("outside-constraints", LEAF + "subjectAltName=DNS:www.example.com,DNS:www.example.net\n", by=narrow)
old = Authority("old", "/CN=Old Intermediate", parent=root, extensions=INTERMEDIATE, end=PAST)
leaf("expired-intermediate", by=old)

# --- cross-signed: one key and name, certified by the lab's root and by two others
keep("root-other", other.cert)
gone = Authority("gone", "/CN=Expired Root", end=PAST)
cross = Authority("cross", "/CN=Cross-signed", parent=root, extensions=INTERMEDIATE)
by_other = other.issue("cross-by-other", "/CN=Cross-signed", cross.key, INTERMEDIATE)
by_gone = gone.issue("cross-by-gone", "/CN=Cross-signed", cross.key, INTERMEDIATE, end=PAST)
keep("root-expired", gone.cert)
leaf("cross-signed", by=cross, above=[by_gone, by_other, cross.cert])
keep("chain-cross-signed-only-expired", work / "cross-signed.pem", by_gone)
keep("cross-by-root", cross.cert)

# --- revocation
revoked = leaf("revoked")
inter.revoke(revoked)
inter.crl("intermediate")
inter.crl("past-next-update", following="20270201000000Z")
inter.crl("delta", extensions="2.5.29.27=critical,ASN1:INTEGER:1\n")
inter.crl("indirect", extensions="issuingDistributionPoint=critical,indirectCRL:TRUE\n")
inter.crl("for-cas", extensions="issuingDistributionPoint=critical,onlyCA:TRUE\n")
inter.crl("for-users", extensions="issuingDistributionPoint=critical,onlyuser:TRUE\n")
for _ in range(40):  # serial numbers as those of the real one, revoked by somebody else's key
    imposter.issue("x", "/CN=x", key, WWW)
    imposter.revoke(work / "x.pem")
imposter.crl("forged")
dead = Authority("dead", "/CN=Revoked Intermediate", parent=root, extensions=INTERMEDIATE)
leaf("revoked-intermediate", by=dead)
root.revoke(dead.cert)
root.crl("root")
inter.staple("good", good)
inter.staple("good-sha256", good, digest="sha256")
inter.staple("revoked", revoked)
inter.staple("stale", good, days=7)
inter.staple("unknown", leaf("unheard-of", by=other))
delegate_key = make_key("delegate", "P-256")
delegate = inter.issue("delegate", "/CN=OCSP", delegate_key, LEAF.replace("serverAuth", "OCSPSigning"))
inter.staple("revoked-by-delegate", revoked, (delegate, delegate_key))
inter.staple("good-by-delegate", good, (delegate, delegate_key))
no_delegate = inter.issue("no-delegate", "/CN=Not OCSP", delegate_key, LEAF)
inter.staple("by-no-delegate", revoked, (no_delegate, delegate_key))
stranger = other.issue("stranger", "/CN=OCSP", delegate_key, LEAF.replace("serverAuth", "OCSPSigning"))
inter.staple("by-a-stranger", revoked, (stranger, delegate_key))
inter.staple("for-must-staple", work / "must-staple.pem")
shutil.rmtree(work)
