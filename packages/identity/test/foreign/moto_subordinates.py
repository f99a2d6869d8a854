"""moto's AWS Private CA with the templates of subordinates, which moto itself does not know.

As https://docs.aws.amazon.com/privateca/latest/userguide/template-definitions.html defines
SubordinateCACertificate_PathLenN/V1: basic constraints critical with CA:TRUE and the path length of the template, the key
identifiers of issuer and request, and key usages of an authority, critical. The validity is that of the order.
"""

import datetime
import re
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from moto.acmpca import models
from moto.acmpca.responses import ACMPCAResponse
from moto.server import main

template = re.compile(r"^arn:aws:acm-pca:::template/SubordinateCACertificate_PathLen([0-3])/V1$")
wished = []


def extensions(self, csr, arn):
    found = template.match(arn or "")
    if found is None:
        return known_extensions(self, csr, arn)
    usages = dict.fromkeys(
        [
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "encipher_only",
            "decipher_only",
        ],
        False,
    )
    signing = x509.KeyUsage(digital_signature=True, key_cert_sign=True, crl_sign=True, **usages)
    own = csr.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    above = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
    constraints = x509.BasicConstraints(ca=True, path_length=int(found.group(1)))
    return [(constraints, True), (above, False), (own, False), (signing, True)]


def issue(self):
    wished.append(self._get_param("Validity"))
    return known_issue(self)


def generate_cert(self, subject, public_key, extensions):
    now = datetime.datetime.now(datetime.timezone.utc)
    validity = wished.pop() if wished else {}
    end = now + datetime.timedelta(days=365)
    if validity.get("Type") == "ABSOLUTE":
        end = datetime.datetime.fromtimestamp(validity["Value"], datetime.timezone.utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(self.issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(end)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    made = builder.sign(self.key, hashes.SHA512())
    return made.public_bytes(serialization.Encoding.PEM)


known_extensions = models.CertificateAuthority._x509_extensions
known_issue = ACMPCAResponse.issue_certificate
models.CertificateAuthority._x509_extensions = extensions
models.CertificateAuthority.generate_cert = generate_cert
ACMPCAResponse.issue_certificate = issue
sys.exit(main())
