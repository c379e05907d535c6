#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "absl/status/statusor.h"

#include "common/store/store.h"
#include "yagura/ticketing/v1/comment.pb.h"
#include "yagura/ticketing/v1/ticket.pb.h"

namespace yagura::ticketing {

inline constexpr char kTicketPattern[] = "tenants/{tenant}/tickets/{ticket}";
inline constexpr char kCommentPattern[] = "tenants/{tenant}/tickets/{ticket}/comments/{comment}";

// Everything that the service keeps. Cheap to copy: copies share the stores.
struct Stores {
  store::Store<v1::Ticket> tickets;
  store::Store<v1::Comment> comments;
  std::shared_ptr<redis::Pool> state;

  // The tenant's next ticket number. One that is not used leaves a gap.
  absl::StatusOr<int64_t> NextNumber(std::string_view tenant) const;
};

Stores OpenStores(const std::shared_ptr<redis::Pool>& state,
                  const std::shared_ptr<const Clock>& clock);

}  // namespace yagura::ticketing
