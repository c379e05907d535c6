// Any bytes as a token, and any header and claims under a good signature: what nobody signed is
// never accepted, and everything refused is refused as UNAUTHENTICATED.
//
// Input: header and claims in JSON, parted by a line end; KID stands for the key's id.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "common/auth/token.h"
#include "common/text/text.h"

namespace {

using namespace yagura;  // NOLINT(google-build-using-namespace)

class FixedClock final : public Clock {
 public:
  TimePoint Now() const override { return TimePoint(std::chrono::seconds(1'800'000'000)); }
  SteadyTime SteadyNow() const override { return {}; }
};

std::string WithKeyId(std::string_view header, const std::string& key_id) {
  const size_t at = header.find("KID");
  if (at == std::string_view::npos) return std::string(header);
  return std::string(header.substr(0, at)) + key_id + std::string(header.substr(at + 3));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auth::SigningKey key = auth::SigningKey::Generate();
  static const auto* const verifier = [] {
    auto* made = new auth::TokenVerifier(std::make_shared<FixedClock>());
    made->Trust("yagura", key.public_key());
    return made;
  }();
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  if (verifier->Verify(input).ok()) std::abort();

  const size_t cut = std::min(input.find('\n'), input.size());
  const std::string_view claims = input.substr(std::min(cut + 1, input.size()));
  const std::string message = Base64UrlEncode(WithKeyId(input.substr(0, cut), key.key_id())) + "." +
                              Base64UrlEncode(claims);
  const auto principal = verifier->Verify(message + "." + Base64UrlEncode(key.Sign(message)));
  if (!principal.ok() && principal.status().code() != absl::StatusCode::kUnauthenticated) {
    std::abort();
  }
  if (principal.ok() && principal->name.empty()) std::abort();
  return 0;
}
