#include "common/store/page_token.h"

#include "common/digest/sha256.h"
#include "common/status/status.h"
#include "common/store/keys.h"
#include "common/text/text.h"

namespace yagura::store {
namespace {

constexpr size_t kChecksumSize = 12;
constexpr size_t kMaxTokenSize = 8192;

// Against mistakes, not against forgery: a forged position names a place in a list that its forger
// may read anyway.
std::string Checksum(std::string_view query, std::string_view position) {
  std::string text = std::to_string(query.size());
  text += ':';
  text += query;
  text += position;
  return Sha256(text).substr(0, kChecksumSize);
}

}  // namespace

std::string EncodePageToken(std::string_view query, std::string_view position) {
  return Base64UrlEncode(Checksum(query, position) + std::string(position));
}

absl::StatusOr<std::string> DecodePageToken(std::string_view query, std::string_view token) {
  const auto bytes = token.size() <= kMaxTokenSize ? Base64UrlDecode(token) : std::nullopt;
  if (bytes && bytes->size() > kChecksumSize) {
    const std::string_view view = *bytes;
    const std::string_view position = view.substr(kChecksumSize);
    if (view.substr(0, kChecksumSize) == Checksum(query, position)) return std::string(position);
  }
  return InvalidField("page_token", "is not the token of the page before this one");
}

}  // namespace yagura::store
