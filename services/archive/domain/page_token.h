#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

#include "services/archive/domain/queries.h"

namespace yagura::archive {

// Where a search goes on. The token holds no right: tenants are checked with every request.
struct SearchToken {
  Position position;
  TimeWindow window;  // as it was for the first page: its defaults depend on the time of asking
};

// What makes two requests the same search.
struct SearchIdentity {
  std::string_view parent;
  std::string_view filter;
  std::string_view order_by;
};

// First 8 bytes of a SHA-256 over it.
uint64_t DigestOf(const SearchIdentity& identity);

std::string EncodeSearchToken(const SearchToken& token, const SearchIdentity& identity);
// INVALID_ARGUMENT where it is broken or belongs to another search.
absl::StatusOr<SearchToken> DecodeSearchToken(std::string_view text,
                                              const SearchIdentity& identity);

// Where a list of flows goes on; the same holds for it. Its groups belong to the order.
struct FlowToken {
  uint64_t order_value = 0;
  uint64_t key_hash = 0;
  TimeWindow window;
};
std::string EncodeFlowToken(const FlowToken& token, const SearchIdentity& identity);
absl::StatusOr<FlowToken> DecodeFlowToken(std::string_view text, const SearchIdentity& identity);

}  // namespace yagura::archive
