"""Uses the agent as any Python program would, with the package spiffe: run by a test, with SPIFFE_ENDPOINT_SOCKET set.

It waits for three rotations, and says on standard output what it saw, as JSON.
"""

import json
import threading
import time

from spiffe import JwtSource, SpiffeId, TrustDomain, WorkloadApiClient, X509Source

FOREIGN = TrustDomain("example-federated.org")

seen = {"serials": [], "errors": []}
enough = threading.Event()


def on_update(context):
    serial = format(context.default_svid.leaf.serial_number, "x")
    if not seen["serials"] or seen["serials"][-1] != serial:
        seen["serials"].append(serial)
    if len(seen["serials"]) > 3:
        enough.set()


client = WorkloadApiClient()
svids = client.fetch_x509_svids()
bundles = client.fetch_x509_bundles()
watch = client.stream_x509_contexts(on_update, lambda error: seen["errors"].append(str(error)))
with X509Source() as source:
    first = source.svid.spiffe_id
    assert enough.wait(90), seen
    watch.cancel()
    with JwtSource() as tokens:
        token = tokens.fetch_svid({"interop"}, subject=first)
        validated = client.validate_jwt_svid(token.token, "interop")
        jwt_bundle = tokens.get_bundle_for_trust_domain(TrustDomain("example.org"))
        print(
            json.dumps(
                {
                    "ids": [str(svid.spiffe_id) for svid in svids],
                    "federated": bundles.get_bundle_for_trust_domain(FOREIGN) is not None,
                    "rotations": len(seen["serials"]) - 1,
                    "errors": seen["errors"],
                    "source": str(first),
                    "jwt": str(validated.spiffe_id),
                    "jwtKeys": len(jwt_bundle.jwt_authorities),
                }
            )
        )
client.close()
