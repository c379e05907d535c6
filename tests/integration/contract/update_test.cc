// Every method that changes something keeps what the contract says of etags, masks, request ids.

#include <functional>
#include <map>
#include <set>

#include "fmt/format.h"
#include "gmock/gmock.h"

#include "common/status/status.h"
#include "common/testing/status_matchers.h"
#include "tests/integration/contract/contract_world.h"

namespace yagura::contract {
namespace {

using absl::StatusCode;
using testing::StatusIs;

// A method that changes one resource that is there.
struct Change {
  std::string method;
  std::string get;                      // reads the resource
  std::function<std::string()> make;    // makes one that the method may be called for; its name
  std::string resource;                 // the field of an Update's resource; empty: name and etag
                                        // are the request's own
  std::string rest;                     // further fields of the request
  std::vector<std::string> masks = {};  // paths that the comment promises, all good for `rest`
};

std::string Made(const std::unique_ptr<google::protobuf::Message>& message) {
  return message == nullptr ? "" : Text(*message, "name");
}

class UpdateContract : public ContractTest {
 protected:
  static std::string NewId() { return fmt::format("x{}", ++ids_); }
  static std::string Device() {
    return Made(Do("ConfigService/CreateDevice",
                   fmt::format(R"({{"parent":"tenants/acme","deviceId":"{}","device":
                   {{"platform":"linux.nftables","address":"192.0.2.1"}}}})",
                               NewId())));
  }
  static std::string Credential() {
    return Made(Do("ConfigService/CreateCredential",
                   fmt::format(R"({{"parent":"tenants/acme","credentialId":"{}",
                   "credential":{{"userName":"root"}},"secret":{{"password":"x"}}}})",
                               NewId())));
  }
  static std::string Contact() {
    return Made(Do("NotificationService/CreateContact",
                   fmt::format(R"({{"parent":"tenants/acme","contactId":"{}",
                   "contact":{{"displayName":"p"}}}})",
                               NewId())));
  }
  static std::string Route() {
    return Made(
        Do("NotificationService/CreateRoute",
           fmt::format(R"({{"parent":"tenants/acme","route":{{"contacts":["{}"]}}}})", Contact())));
  }
  static std::string Ticket() {
    return Made(
        Do("TicketingService/CreateTicket", R"({"parent":"tenants/acme","ticket":{"title":"t"}})"));
  }
  static std::string Resolved() {
    const std::string name = Ticket();
    Do("TicketingService/ResolveTicket", fmt::format(R"({{"name":"{}"}})", name));
    return name;
  }

  static std::vector<Change> Changes() {
    return {
        {"ConfigService/UpdateDevice",
         "ConfigService/GetDevice",
         Device,
         "device",
         R"("address":"192.0.2.2","notes":"n","displayName":"d","startupPath":"/etc/x")",
         {"display_name", "address", "port", "host_key_fingerprints", "trust_host_key_on_first_use",
          "credential", "site", "serial", "virtual_contexts", "startup_path", "notes"}},
        {"ConfigService/DeleteDevice", "ConfigService/GetDevice", Device, "", ""},
        {"ConfigService/UpdateCredential",
         "ConfigService/GetCredential",
         Credential,
         "credential",
         R"("userName":"admin","displayName":"d")",
         {"user_name", "display_name"}},
        {"ConfigService/DeleteCredential", "ConfigService/GetCredential", Credential, "", ""},
        {"NotificationService/UpdateContact",
         "NotificationService/GetContact",
         Contact,
         "contact",
         R"("displayName":"q","email":"a@example.com","webhookSecret":"0123456789abcdef")",
         {"display_name", "email", "webhook_url", "webhook_secret", "disabled"}},
        {"NotificationService/DeleteContact", "NotificationService/GetContact", Contact, "", ""},
        {"NotificationService/UpdateRoute",
         "NotificationService/GetRoute",
         Route,
         "route",
         R"("displayName":"q","minSeverity":"HIGH")",
         {"display_name", "min_severity", "rule_ids", "tags", "sites", "devices", "channels",
          "disabled"}},
        {"NotificationService/DeleteRoute", "NotificationService/GetRoute", Route, "", ""},
        {"TicketingService/UpdateTicket",
         "TicketingService/GetTicket",
         Ticket,
         "ticket",
         R"("title":"u","description":"d","priority":"P1")",
         {"title", "description", "priority"}},
        {"TicketingService/AssignTicket", "TicketingService/GetTicket", Ticket, "",
         R"("assignee":"tenants/provider/users/alice")"},
        {"TicketingService/StartTicket", "TicketingService/GetTicket", Ticket, "", ""},
        {"TicketingService/WaitForCustomer", "TicketingService/GetTicket", Ticket, "", ""},
        {"TicketingService/ResolveTicket", "TicketingService/GetTicket", Ticket, "",
         R"("resolution":"done")"},
        {"TicketingService/CloseTicket", "TicketingService/GetTicket", Resolved, "", ""},
        {"TicketingService/ReopenTicket", "TicketingService/GetTicket", Resolved, "", ""},
        {"TicketingService/LinkEvidence", "TicketingService/GetTicket", Ticket, "",
         R"("evidence":[{"eventId":"e1"}])"},
    };
  }

  static std::string Request(const Change& change, const std::string& name, const std::string& etag,
                             const std::string& request_id = "",
                             const std::vector<std::string>& paths = {}) {
    const std::string target = fmt::format(R"("name":"{}","etag":"{}"{}{})", name, etag,
                                           change.rest.empty() ? "" : ",", change.rest);
    if (change.resource.empty()) {
      return fmt::format(R"({{{},"requestId":"{}"}})", target, request_id);
    }
    // The JSON of a mask is in camel case; protobuf turns it back.
    std::string mask;
    for (const std::string& path : paths.empty() ? change.masks : paths) {
      if (!mask.empty()) mask += ',';
      for (size_t i = 0; i < path.size(); ++i) {
        mask += path[i] == '_' && i + 1 < path.size() ? static_cast<char>(std::toupper(path[++i]))
                                                      : path[i];
      }
    }
    return fmt::format(R"({{"{}":{{{}}},"updateMask":"{}","requestId":"{}"}})", change.resource,
                       target, mask, request_id);
  }
  static std::string EtagOf(const Change& change, const std::string& name) {
    const auto resource = Do(change.get, fmt::format(R"({{"name":"{}"}})", name));
    return resource == nullptr ? "" : Text(*resource, "etag");
  }

 private:
  static int ids_;
};

int UpdateContract::ids_ = 0;

// Those that the table leaves out, and who tests them.
const std::map<std::string, std::string>& Elsewhere() {
  static const std::map<std::string, std::string> kElsewhere = {
      {"ConfigService/UpdateChange", "config_service_test, with a device"},
      {"ConfigService/SubmitChange", "config_service_test"},
      {"ConfigService/ApproveChange", "config_service_test"},
      {"ConfigService/RejectChange", "config_service_test"},
      {"ConfigService/ApplyChange", "config_service_test"},
      {"ConfigService/CancelChange", "config_service_test"},
      {"NotificationService/AcknowledgeAlert", "notification_service_test, with a finding"},
      {"NotificationService/ResolveAlert", "notification_service_test"},
  };
  return kElsewhere;
}

TEST_F(UpdateContract, TheTableKnowsEveryMethodThatTakesAnEtag) {
  std::set<std::string> known;
  for (const Change& change : Changes()) known.insert(change.method);
  for (const auto& [method, where] : Elsewhere()) known.insert(method);
  for (const std::string& method : Methods()) {
    const std::string verb = method.substr(method.find('/') + 1);
    const bool reads = verb.starts_with("Get") || verb.starts_with("List");
    const bool creates = verb.starts_with("Create") || verb.starts_with("Add");
    const bool other = verb == "TakeSnapshot" || verb == "DiffSnapshots" ||
                       verb == "RevealSnapshot" || verb == "SendTestNotification";
    EXPECT_EQ(known.contains(method), !reads && !creates && !other) << method;
  }
}

TEST_F(UpdateContract, AStaleEtagIsAbortedWithTheCurrentOne) {
  for (const Change& change : Changes()) {
    const std::string name = change.make();
    const std::string etag = EtagOf(change, name);
    const auto stale = Call(change.method, Request(change, name, "0123456789abcdef"));
    EXPECT_THAT(stale.status(), StatusIs(StatusCode::kAborted, "ETAG_MISMATCH")) << change.method;
    EXPECT_EQ(GetErrorMetadata(stale.status())["etag"], etag) << change.method;
    EXPECT_EQ(EtagOf(change, name), etag) << change.method;
    const auto changed = Do(change.method, Request(change, name, etag));
    ASSERT_NE(changed, nullptr);
    if (changed->GetDescriptor()->FindFieldByName("etag") != nullptr) {
      EXPECT_NE(Text(*changed, "etag"), etag) << change.method;
    }
  }
}

TEST_F(UpdateContract, WhatDoesNotExistIsNotFound) {
  for (const Change& change : Changes()) {
    const std::string made = change.make();
    const std::string none = made.substr(0, made.rfind('/') + 1) + "none";
    EXPECT_THAT(Call(change.method, Request(change, none, "")).status(),
                StatusIs(StatusCode::kNotFound))
        << change.method;
  }
}

TEST_F(UpdateContract, AMaskNamesWhatIsChangedAndNothingElse) {
  for (const Change& change : Changes()) {
    if (change.resource.empty()) continue;
    const std::string name = change.make();
    const std::string etag = EtagOf(change, name);
    for (const char* path : {"no_such_field", "name", "etag", "create_time", "update_time", "state",
                             "create_time.seconds"}) {
      EXPECT_THAT(Call(change.method, Request(change, name, etag, "", {path})).status(),
                  StatusIs(StatusCode::kInvalidArgument))
          << change.method << " " << path;
    }
    EXPECT_EQ(EtagOf(change, name), etag) << change.method;
    for (const std::string& path : change.masks) {
      Do(change.method, Request(change, name, "", "", {path}));
    }
  }
}

TEST_F(UpdateContract, ARequestIdGivesTheFirstAnswerAgain) {
  int i = 0;
  for (const Change& change : Changes()) {
    const std::string name = change.make();
    const std::string etag = EtagOf(change, name);
    const std::string id = fmt::format("request-{}", ++i);
    const auto first = Do(change.method, Request(change, name, etag, id));
    // The etag in it is stale by now, and what it says has happened already.
    const auto again = Do(change.method, Request(change, name, etag, id));
    ASSERT_TRUE(first && again) << change.method;
    EXPECT_EQ(again->SerializeAsString(), first->SerializeAsString()) << change.method;
    EXPECT_THAT(Call(change.method, Request(change, name, "", id)).status(),
                StatusIs(StatusCode::kInvalidArgument, "REQUEST_ID_REUSED"))
        << change.method;
    EXPECT_THAT(Call(change.method, Request(change, name, "", std::string(65, 'x'))).status(),
                StatusIs(StatusCode::kInvalidArgument))
        << change.method;
  }
}

TEST_F(UpdateContract, BoundsAreThoseOfTheContract) {
  const auto refused = [](const std::string& method, const std::string& json) {
    EXPECT_THAT(Call(method, json).status(), StatusIs(StatusCode::kInvalidArgument))
        << method << " " << json.substr(0, 200);
  };
  const auto device = [](const std::string& field, const std::string& value) {
    return fmt::format(R"({{"parent":"tenants/acme","device":{{"platform":"linux.nftables",
                        "address":"192.0.2.1","{}":{}}}}})",
                       field, value);
  };
  const auto many = [](const std::string& what, int times) {
    std::string text = "\"";
    for (int i = 0; i < times; ++i) text += what;
    return text + '"';
  };
  // Characters, in whatever script, where the contract says so.
  Do("ConfigService/CreateDevice", device("displayName", many("櫓", 200)));
  refused("ConfigService/CreateDevice", device("displayName", many("櫓", 201)));
  Do("ConfigService/CreateDevice", device("notes", many("櫓", 4000)));
  refused("ConfigService/CreateDevice", device("notes", many("櫓", 4001)));
  Do("ConfigService/CreateDevice", device("serial", many("x", 100)));
  refused("ConfigService/CreateDevice", device("serial", many("x", 101)));
  for (const char* port : {"-1", "65536"}) {
    refused("ConfigService/CreateDevice", device("port", port));
  }
  refused("ConfigService/CreateDevice", device("platform", R"("no.such")"));
  refused("ConfigService/CreateDevice", device("startupPath", R"("relative")"));
  refused("ConfigService/CreateDevice", device("hostKeyFingerprints", R"(["MD5:aa"])"));
  for (const char* id : {"UPPER", "-x", "x-", "a b", "ä"}) {
    refused("ConfigService/CreateDevice",
            fmt::format(R"({{"parent":"tenants/acme","deviceId":"{}","device":{{
                         "platform":"linux.nftables","address":"192.0.2.1"}}}})",
                        id));
    refused("NotificationService/CreateContact",
            fmt::format(R"({{"parent":"tenants/acme","contactId":"{}",
                         "contact":{{"displayName":"p"}}}})",
                        id));
  }
  // What only the server says is not taken from a caller.
  const auto forged = Do("ConfigService/CreateDevice",
                         R"({"parent":"tenants/acme","device":{"platform":"linux.nftables",
       "address":"192.0.2.1","name":"tenants/acme/devices/forged","latestSnapshot":"x",
       "applyingChange":"x","lastContactTime":"2026-01-01T00:00:00Z",
       "createTime":"2020-01-01T00:00:00Z","etag":"x"}})");
  ASSERT_NE(forged, nullptr);
  EXPECT_EQ(Text(*forged, "latest_snapshot") + Text(*forged, "applying_change"), "");
  EXPECT_NE(Text(*forged, "name"), "tenants/acme/devices/forged");
  const auto ticket = Do("TicketingService/CreateTicket",
                         R"({"parent":"tenants/acme","ticket":{"title":"t","state":"CLOSED",
       "assignee":"tenants/acme/users/x","reporter":"x","number":"7","resolution":"x",
       "findings":["x"]},"evidence":[{"eventId":"e","linkedBy":"x","finding":"y"}]})");
  ASSERT_NE(ticket, nullptr);
  EXPECT_EQ(Text(*ticket, "assignee") + Text(*ticket, "resolution"), "");
  EXPECT_NE(Text(*ticket, "reporter"), "x");
  // A raw line that is too long is cut, not refused.
  Do("TicketingService/LinkEvidence",
     fmt::format(R"({{"name":"{}","evidence":[{{"eventId":"long","raw":{}}}]}})",
                 Text(*ticket, "name"), many("AAAA", 1000)));
  refused("TicketingService/CreateTicket",
          fmt::format(R"({{"parent":"tenants/acme","ticket":{{"title":{}}}}})", many("x", 301)));
  for (const char* month : {R"("")", R"("2026")", R"("2026-13")", R"("9999-01")", R"("2026-1")"}) {
    refused("ReportingService/CreateReport",
            fmt::format(R"({{"parent":"tenants/acme","month":{}}})", month));
  }
}

}  // namespace
}  // namespace yagura::contract
