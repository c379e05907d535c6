// Every List method keeps what the contract says of pages, filters and orders.

#include <map>
#include <set>

#include "fmt/format.h"
#include "gmock/gmock.h"

#include "common/status/status.h"
#include "common/testing/status_matchers.h"
#include "common/text/text.h"
#include "tests/integration/contract/contract_world.h"

namespace yagura::contract {
namespace {

using absl::StatusCode;
using testing::StatusIs;

struct List {
  std::string method;
  std::vector<std::string> parents;
  std::vector<std::string> orders;  // that its comment promises
  std::string filter;               // a good one
};

class ListContract : public ContractTest {
 protected:
  // Three of everything that can be made by a call.
  void SetUp() override {
    if (!lists_.empty()) return;
    for (int i = 0; i < 3; ++i) {
      const std::string parent = R"("parent":"tenants/acme",)";
      Do("ConfigService/CreateDevice",
         fmt::format(R"({{{}"deviceId":"d{}","device":{{"platform":"linux.nftables",
                      "address":"192.0.2.1"}}}})",
                     parent, i));
      Do("ConfigService/CreateCredential",
         fmt::format(R"({{{}"credentialId":"c{}","credential":{{"userName":"root"}},
                      "secret":{{"password":"x"}}}})",
                     parent, i));
      Do("NotificationService/CreateContact",
         fmt::format(R"({{{}"contactId":"p{}","contact":{{"displayName":"p"}}}})", parent, i));
      Do("NotificationService/CreateRoute",
         fmt::format(
             R"({{{}"routeId":"r{}","route":{{"contacts":["tenants/acme/contacts/p{}"]}}}})",
             parent, i, i));
      const auto ticket = Do("TicketingService/CreateTicket",
                             fmt::format(R"({{{}"ticket":{{"title":"t{}"}}}})", parent, i));
      ticket_ = Text(*ticket, "name");
      for (int j = 0; j < 3; ++j) {
        Do("TicketingService/AddComment",
           fmt::format(R"({{"parent":"{}","comment":{{"text":"x","visibility":"PUBLIC"}}}})",
                       ticket_));
      }
      Do("ReportingService/CreateReport",
         fmt::format(R"({{{}"month":"2026-0{}"}})", parent, i + 1));
    }
    const std::vector<std::string> both = {"tenants/acme", "tenants/-"};
    lists_ = {
        {"ConfigService/ListDevices", both, {"name", "create_time desc"}, "port = 0"},
        {"ConfigService/ListCredentials",
         both,
         {"name", "create_time desc"},
         "user_name = \"root\""},
        {"ConfigService/ListSnapshots",
         {"tenants/acme/devices/d0", "tenants/acme/devices/-"},
         {"create_time", "create_time desc"},
         "size_bytes > 1"},
        {"ConfigService/ListChanges",
         both,
         {"create_time", "create_time desc", "update_time desc"},
         "state = \"SUBMITTED\""},
        {"NotificationService/ListAlerts",
         both,
         {"create_time desc", "create_time", "severity desc", "last_finding_time desc"},
         "state = OPEN AND severity >= HIGH"},
        {"NotificationService/ListContacts",
         both,
         {"create_time", "create_time desc", "display_name"},
         "disabled = false"},
        {"NotificationService/ListRoutes",
         both,
         {"create_time", "create_time desc"},
         "disabled = false"},
        {"NotificationService/ListDeliveries",
         both,
         {"create_time desc", "create_time"},
         "alert = \"tenants/acme/alerts/x\" AND state = FAILED"},
        {"TicketingService/ListTickets",
         both,
         {"create_time desc", "create_time", "update_time desc", "update_time", "priority",
          "priority desc", "due_time", "due_time desc"},
         "state != CLOSED AND priority <= P2"},
        {"TicketingService/ListComments",
         {ticket_},
         {"create_time", "create_time desc"},
         "visibility = PUBLIC"},
        {"ReportingService/ListReports",
         both,
         {"create_time desc", "create_time", "month desc"},
         "state = READY"},
    };
  }

  static std::string Request(const std::string& parent, const std::string& rest = "") {
    return fmt::format(R"({{"parent":"{}"{}{}}})", parent, rest.empty() ? "" : ",", rest);
  }
  static void ExpectRefused(const List& list, const std::string& parent, const std::string& rest) {
    EXPECT_THAT(Call(list.method, Request(parent, rest)).status(),
                StatusIs(StatusCode::kInvalidArgument))
        << list.method << " " << parent << " " << rest;
  }

  static std::vector<List> lists_;
  static std::string ticket_;
};

std::vector<List> ListContract::lists_;
std::string ListContract::ticket_;

TEST_F(ListContract, TheTableKnowsEveryListMethod) {
  std::set<std::string> known;
  for (const List& list : lists_) known.insert(list.method);
  std::set<std::string> all;
  for (const std::string& method : Methods()) {
    if (method.find("/List") != std::string::npos) all.insert(method);
  }
  EXPECT_EQ(known, all);
}

TEST_F(ListContract, WhatIsWrongIsInvalidArgument) {
  for (const List& list : lists_) {
    for (const std::string& parent : list.parents) {
      for (const char* rest :
           {R"("pageSize":-1)", R"("pageSize":-2147483648)", R"("pageToken":"garbage")",
            R"("pageToken":"AAAA")", R"("filter":"no_such_field = 1")", R"("filter":"((")",
            R"("filter":"name = ")", R"("orderBy":"no_such_field")",
            R"("orderBy":"create_time desc desc")", R"("orderBy":"create_time; drop")"}) {
        ExpectRefused(list, parent, rest);
      }
    }
  }
}

TEST_F(ListContract, WhatIsPromisedIsAnswered) {
  for (const List& list : lists_) {
    for (const std::string& parent : list.parents) {
      Do(list.method, Request(parent, R"("pageSize":2147483647)"));
      Do(list.method, Request(parent, fmt::format(R"("filter":{})", QuoteJson(list.filter))));
      for (const std::string& order : list.orders) {
        Do(list.method, Request(parent, fmt::format(R"("orderBy":"{}")", order)));
      }
    }
  }
}

// All of it comes once, in pages of one; a token is good for its own query alone.
TEST_F(ListContract, PagesLeaveNothingOutAndTokensAreNotInterchangeable) {
  int paged = 0;
  for (const List& list : lists_) {
    for (const std::string& parent : list.parents) {
      const auto whole = Do(list.method, Request(parent));
      ASSERT_NE(whole, nullptr);
      std::string token;
      int found = 0;
      do {
        const auto page = Do(
            list.method, Request(parent, fmt::format(R"("pageSize":1,"pageToken":"{}")", token)));
        ASSERT_NE(page, nullptr);
        EXPECT_LE(Count(*page), 1) << list.method;
        found += Count(*page);
        token = Text(*page, "next_page_token");
        if (token.empty() || paged > 1000) break;
        ++paged;
        ExpectRefused(
            list, parent,
            fmt::format(R"("filter":{},"pageToken":"{}")", QuoteJson(list.filter), token));
        // Another order than this one.
        ExpectRefused(list, parent,
                      fmt::format(R"("orderBy":"{}","pageToken":"{}")", list.orders.back(), token));
        std::string altered = token;
        altered[altered.size() / 2] = altered[altered.size() / 2] == 'A' ? 'B' : 'A';
        const auto status =
            Call(list.method, Request(parent, fmt::format(R"("pageToken":"{}")", altered)))
                .status();
        EXPECT_TRUE(status.ok() || absl::IsInvalidArgument(status)) << list.method << status;
      } while (true);
      EXPECT_EQ(found, Count(*whole)) << list.method << " " << parent;
    }
  }
  EXPECT_GT(paged, 10);
}

}  // namespace
}  // namespace yagura::contract
