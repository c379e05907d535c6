#include "services/notification/domain/webhook.h"

#include <sodium.h>

#include <algorithm>

#include "fmt/format.h"

#include "common/text/text.h"

namespace yagura::notification {

std::string WebhookTimestamp(TimePoint time) {
  return fmt::format("{}",
                     std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count());
}

std::string WebhookSignature(std::string_view secret, TimePoint time, std::string_view body) {
  const std::string stamp = WebhookTimestamp(time) + ".";
  crypto_auth_hmacsha256_state state;
  crypto_auth_hmacsha256_init(&state, reinterpret_cast<const unsigned char*>(secret.data()),
                              secret.size());
  for (const std::string_view part : {std::string_view(stamp), body}) {
    crypto_auth_hmacsha256_update(&state, reinterpret_cast<const unsigned char*>(part.data()),
                                  part.size());
  }
  std::string mac(crypto_auth_hmacsha256_BYTES, '\0');
  crypto_auth_hmacsha256_final(&state, reinterpret_cast<unsigned char*>(mac.data()));
  sodium_memzero(&state, sizeof(state));
  return "v1=" + HexEncode(mac);
}

bool IsWebhookUrl(std::string_view url) {
  if (url.size() > 2000) return false;
  const bool plain = std::all_of(url.begin(), url.end(), [](char c) {
    return c > 0x20 && c < 0x7f && c != '"' && c != '<' && c != '>' && c != '\\' && c != '#';
  });
  if (!plain) return false;
  for (const std::string_view scheme : {"https://", "http://"}) {
    if (url.substr(0, scheme.size()) != scheme) continue;
    const std::string_view rest = url.substr(scheme.size());
    const std::string_view authority = rest.substr(0, rest.find_first_of("/?"));
    return !authority.empty() && authority.find('@') == std::string_view::npos &&
           authority.front() != ':';
  }
  return false;
}

v1::AttemptResult ClassifyHttp(int code) {
  if (code >= 200 && code < 300) return v1::ACCEPTED;
  if (code == 502 || code == 504) return v1::AMBIGUOUS;
  if (code == 408 || code == 425 || code == 429 || code >= 500) return v1::TEMPORARY_FAILURE;
  return v1::PERMANENT_FAILURE;
}

v1::AttemptResult ClassifySmtp(int code) {
  if (code >= 200 && code < 300) return v1::ACCEPTED;
  if (code == 530 || code == 534 || code == 535 || code == 538) return v1::TEMPORARY_FAILURE;
  if (code >= 500 && code < 600) return v1::PERMANENT_FAILURE;
  return v1::TEMPORARY_FAILURE;
}

}  // namespace yagura::notification
