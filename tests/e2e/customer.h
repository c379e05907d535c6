#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tests/e2e/suite_process.h"
#include "tests/e2e/traffic.h"
#include "yagura/detection/v1/finding.pb.h"
#include "yagura/event/v1/event.pb.h"
#include "yagura/notification/v1/alert.pb.h"
#include "yagura/notification/v1/delivery.pb.h"
#include "yagura/reporting/v1/report.pb.h"
#include "yagura/ticketing/v1/ticket.pb.h"

namespace yagura::e2e {

// The customer "acme" of a suite: firewalls that are known as log sources of the site "hq", and a
// contact who is mailed about HIGH and graver. Made with the command `yagura`, as an operator
// would.
class Customer {
 public:
  static constexpr char kMailbox[] = "soc@acme.example";

  // Returns once ingestion knows the firewalls.
  Customer(SuiteProcess& suite, const std::vector<Traffic::Firewall>& firewalls);

  // After a restart of the suite: a connection that was lost waits a while before it tries again.
  void Reconnect() { client_ = suite_.Connect(); }

  // What the API tells, every page of it; nothing where it does not answer just now.
  std::optional<std::vector<detection::v1::Finding>> Findings();
  std::optional<std::vector<notification::v1::Alert>> Alerts();
  std::optional<std::vector<notification::v1::Delivery>> Deliveries();
  std::optional<std::vector<ticketing::v1::Ticket>> Tickets();
  std::optional<uint64_t> CountEvents(const std::string& filter = "");
  // Everything that a search for `filter` finds.
  std::optional<std::vector<event::v1::Event>> Search(const std::string& filter);
  // This month's report, made by the command.
  reporting::v1::ReportContent Report();

 private:
  template <typename Item, typename Stub, typename Request, typename Response>
  std::optional<std::vector<Item>> ListAll(
      grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
      const google::protobuf::RepeatedPtrField<Item>& (Response::*items)() const);

  SuiteProcess& suite_;
  cli::Client client_;
};

}  // namespace yagura::e2e
