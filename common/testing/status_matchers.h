#pragma once

#include <ostream>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/status/status.h"

// EXPECT_THAT(Do(), IsOk()); EXPECT_THAT(Do(), StatusIs(absl::StatusCode::kNotFound));
// EXPECT_THAT(Do(), StatusIs(absl::StatusCode::kAborted, "LEASE_LOST")), the second being the
// reason. All take a Status or a StatusOr.
namespace yagura::testing {
namespace internal {

inline const absl::Status& AsStatus(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& AsStatus(const absl::StatusOr<T>& result) {
  return result.status();
}

}  // namespace internal

MATCHER(IsOk, negation ? "is an error" : "is OK") {
  const absl::Status& status = internal::AsStatus(arg);
  if (!status.ok()) *result_listener << status.ToString();
  return status.ok();
}

MATCHER_P(StatusIs, code, "has status " + absl::StatusCodeToString(code)) {
  const absl::Status& status = internal::AsStatus(arg);
  *result_listener << status.ToString();
  return status.code() == code;
}

MATCHER_P2(StatusIs, code, reason,
           "has status " + absl::StatusCodeToString(code) + " with reason " + std::string(reason)) {
  const absl::Status& status = internal::AsStatus(arg);
  *result_listener << status.ToString() << ", reason " << ErrorReason(status);
  return status.code() == code && ErrorReason(status) == reason;
}

}  // namespace yagura::testing

// ASSERT_OK_AND_ASSIGN(auto x, F()): ends the test where F() is an error.
#define ASSERT_OK_AND_ASSIGN(lhs, expr) \
  ASSERT_OK_AND_ASSIGN_IMPL(YAGURA_CONCAT(test_status_or_, __LINE__), lhs, expr)
#define ASSERT_OK_AND_ASSIGN_IMPL(tmp, lhs, expr) \
  auto tmp = (expr);                              \
  ASSERT_THAT(tmp, ::yagura::testing::IsOk());    \
  lhs = std::move(tmp).value()
