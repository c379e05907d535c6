#pragma once

#include <google/protobuf/message.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "gtest/gtest.h"

#include "tests/e2e/suite_process.h"

namespace yagura::contract {

// A running suite with the tenant "acme", the provider's user "alice", and its API by the names of
// its methods: requests and answers are JSON on the way in and messages on the way out, so that a
// table can speak of all of them.
class ContractTest : public ::testing::Test {
 protected:
  using Message = google::protobuf::Message;

  static void SetUpTestSuite();
  static void TearDownTestSuite();

  // All unary methods of the services config, notification, ticketing and reporting,
  // "yagura.config.v1.ConfigService/ListDevices".
  static std::vector<std::string> Methods();
  // The administrator's call of a method such as "ConfigService/ListDevices".
  static absl::StatusOr<std::unique_ptr<Message>> Call(const std::string& method,
                                                       const std::string& json);
  // The same, which must succeed; null where it does not.
  static std::unique_ptr<Message> Do(const std::string& method, const std::string& json);

 private:
  static std::unique_ptr<e2e::SuiteProcess> suite_;
  static std::unique_ptr<cli::Client> admin_;
};

// The text of a field; "" where the message has no such field.
std::string Text(const google::protobuf::Message& message, const std::string& field);
// How many a repeated field has; the first one of the message.
int Count(const google::protobuf::Message& page);

}  // namespace yagura::contract
