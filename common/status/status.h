#pragma once

#include <chrono>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// Errors of the whole suite. A function that can fail returns absl::Status or absl::StatusOr; every
// error that may reach a client carries a reason in UPPER_SNAKE_CASE (google.rpc.ErrorInfo, domain
// "yagura") as a status payload, which common/rpc puts on the wire.
namespace yagura {

using absl::Status;
using absl::StatusOr;

// Metadata of an error, for machines: which resource, which limit, which etag.
using ErrorMetadata = std::map<std::string, std::string>;

// An error with a reason. `message` is for people and must not carry secrets.
Status MakeError(absl::StatusCode code, std::string_view reason, std::string_view message,
                 const ErrorMetadata& metadata = {});

// The message as a standard view, valid as long as the status lives.
inline std::string_view Message(const Status& status) {
  return {status.message().data(), status.message().size()};
}

// The reason given to MakeError; empty where the status has none.
std::string ErrorReason(const Status& status);

// The metadata given to MakeError; empty where the status has none.
ErrorMetadata GetErrorMetadata(const Status& status);

// Adds "context: " before the message and keeps code and payloads. One prefix a hop.
Status Annotate(const Status& status, std::string_view context);

// Says after how long a caller may try again (google.rpc.RetryInfo).
Status WithRetryDelay(Status status, std::chrono::milliseconds delay);

// Shorthands for the common cases.
Status InvalidField(std::string_view field, std::string_view description);
Status NotFound(std::string_view resource_name);
Status Unavailable(std::string_view reason, std::string_view message);
Status Internal(std::string_view message);

// Collects what is wrong with the fields of one request (google.rpc.BadRequest).
class FieldErrors {
 public:
  // `field` is the path in the request, for example "ticket.title".
  void Add(std::string_view field, std::string_view description);
  bool empty() const { return violations_.empty(); }
  // OK where nothing was added; otherwise INVALID_ARGUMENT naming every field.
  Status ToStatus() const;

 private:
  std::vector<std::pair<std::string, std::string>> violations_;
};

}  // namespace yagura

// What stands on the left of an assignment cannot be in parentheses.
// NOLINTBEGIN(bugprone-macro-parentheses)
#define YAGURA_CONCAT_INNER(a, b) a##b
#define YAGURA_CONCAT(a, b) YAGURA_CONCAT_INNER(a, b)

// Returns from the enclosing function where `expr` is not OK.
#define YAGURA_RETURN_IF_ERROR(expr)            \
  do {                                          \
    if (::absl::Status s_ = (expr); !s_.ok()) { \
      return s_;                                \
    }                                           \
  } while (false)

// YAGURA_ASSIGN_OR_RETURN(auto x, F()): x is the value of F(), or we return its status.
#define YAGURA_ASSIGN_OR_RETURN(lhs, expr) \
  YAGURA_ASSIGN_OR_RETURN_IMPL(YAGURA_CONCAT(status_or_, __LINE__), lhs, expr)
#define YAGURA_ASSIGN_OR_RETURN_IMPL(tmp, lhs, expr) \
  auto tmp = (expr);                                 \
  if (!tmp.ok()) {                                   \
    return tmp.status();                             \
  }                                                  \
  lhs = std::move(tmp).value()
// NOLINTEND(bugprone-macro-parentheses)
