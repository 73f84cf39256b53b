"""How fast it answers: token validation and an image's record, with wrk at one connection and at sixteen."""

from cloud import Cloud, environment, row, wrk

cloud = Cloud(environment("CLOUD_FILE"), "gapura")
image = cloud.named("/image/v2/images", "images", "gapura-test")["id"]
token = {"X-Auth-Token": cloud.token}
requests = {
    "`GET /healthcheck`": ("/healthcheck", {}),
    "`GET /v3/auth/tokens`": ("/identity/v3/auth/tokens", {**token, "X-Subject-Token": cloud.token}),
    "`GET /v2/images/{id}`": (f"/image/v2/images/{image}", token),
}
print("| request | p50 at 1 connection | requests a second at 16 |\n|---|---|---|")
for name, (path, headers) in requests.items():
    wrk(cloud.url + path, headers, 4, 1)  # warm
    median_ms, _ = wrk(cloud.url + path, headers, 1, 5)
    _, rate = wrk(cloud.url + path, headers, 16, 8)
    row(name, f"{median_ms:.2f} ms", f"{rate:,.0f}")
