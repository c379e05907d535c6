#include "services/archive/domain/page_token.h"

#include <cstring>

#include "fmt/format.h"

#include "common/digest/sha256.h"
#include "common/status/status.h"
#include "common/text/text.h"
#include "yagura/archive/internal/v1/archive_state.pb.h"

namespace yagura::archive {
namespace {

TimePoint FromNanoseconds(int64_t count) { return TimePoint(std::chrono::nanoseconds(count)); }

// A release before schema 14 must refuse a token of another order than its own.
uint64_t DigestIn(const internal::v1::SearchPosition& position, const SearchIdentity& identity) {
  constexpr uint64_t kNumbered = 0x6e756d6265726564;
  return DigestOf(identity) ^ (position.numbered() ? kNumbered : 0);
}
uint64_t DigestIn(const internal::v1::FlowPosition& /*position*/, const SearchIdentity& identity) {
  return DigestOf(identity);
}

// The token of a message with a request_digest.
template <typename Message>
StatusOr<Message> Decode(std::string_view text, const SearchIdentity& identity) {
  Message position;
  const auto bytes = Base64UrlDecode(text);
  if (!bytes || !position.ParseFromString(*bytes)) {
    return InvalidField("page_token", "is not a token of this service");
  }
  if (position.request_digest() != DigestIn(position, identity)) {
    return InvalidField("page_token", "belongs to another parent, filter or order");
  }
  return position;
}

}  // namespace

uint64_t DigestOf(const SearchIdentity& identity) {
  const std::string text = fmt::format("{}:{}{}:{}{}", identity.parent.size(), identity.parent,
                                       identity.filter.size(), identity.filter, identity.order_by);
  const std::string hash = Sha256(text);
  uint64_t digest = 0;
  std::memcpy(&digest, hash.data(), sizeof(digest));
  return digest;
}

std::string EncodeSearchToken(const SearchToken& token, const SearchIdentity& identity) {
  internal::v1::SearchPosition position;
  position.set_receive_time(token.position.receive_time.time_since_epoch().count());
  position.set_event_id(token.position.event_id);
  position.set_range_start(token.window.start.time_since_epoch().count());
  position.set_range_end(token.window.end.time_since_epoch().count());
  position.set_happened(token.window.basis == TimeBasis::kHappened);
  position.set_numbered(!token.position.ids_as_text);
  position.set_request_digest(DigestIn(position, identity));
  return Base64UrlEncode(position.SerializeAsString());
}

StatusOr<SearchToken> DecodeSearchToken(std::string_view text, const SearchIdentity& identity) {
  YAGURA_ASSIGN_OR_RETURN(const auto position,
                          Decode<internal::v1::SearchPosition>(text, identity));
  return SearchToken{
      {FromNanoseconds(position.receive_time()), position.event_id(), !position.numbered()},
      {FromNanoseconds(position.range_start()), FromNanoseconds(position.range_end()),
       position.happened() ? TimeBasis::kHappened : TimeBasis::kReceived}};
}

std::string EncodeFlowToken(const FlowToken& token, const SearchIdentity& identity) {
  internal::v1::FlowPosition position;
  position.set_order_value(token.order_value);
  position.set_key_hash(token.key_hash);
  position.set_range_start(token.window.start.time_since_epoch().count());
  position.set_range_end(token.window.end.time_since_epoch().count());
  position.set_request_digest(DigestOf(identity));
  return Base64UrlEncode(position.SerializeAsString());
}

StatusOr<FlowToken> DecodeFlowToken(std::string_view text, const SearchIdentity& identity) {
  YAGURA_ASSIGN_OR_RETURN(const auto position, Decode<internal::v1::FlowPosition>(text, identity));
  return FlowToken{
      position.order_value(),
      position.key_hash(),
      {FromNanoseconds(position.range_start()), FromNanoseconds(position.range_end())}};
}

}  // namespace yagura::archive
