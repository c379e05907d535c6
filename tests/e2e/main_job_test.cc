// The main job on real processes: a firewall's lines come in, are kept and matched, people are
// told, tickets are opened, a device is changed, a report says so; and processes are killed
// meanwhile.
//
// YAGURA_E2E_SEED repeats a run: lines, victims and moments come from it.

#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <map>
#include <random>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "google/protobuf/util/json_util.h"
#include "gtest/gtest.h"

#include "common/clock/proto_time.h"
#include "common/testing/nft_device.h"
#include "common/testing/smtp_server.h"
#include "common/text/text.h"
#include "tests/e2e/customer.h"
#include "tests/e2e/suite_process.h"
#include "tests/e2e/traffic.h"
#include "yagura/config/v1/change.pb.h"

namespace yagura::e2e {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

constexpr seconds kPatience{90};  // for what has to follow by itself

uint64_t Seed() {
  const char* given = std::getenv("YAGURA_E2E_SEED");
  const uint64_t seed = given != nullptr ? std::stoull(given) : std::random_device()();
  std::cout << "YAGURA_E2E_SEED=" << seed << std::endl;
  return seed;
}

// Old enough that no line is of the future when it arrives, young enough for a right clock.
TimePoint TrafficStart() { return SystemClock()->Now() - std::chrono::minutes(15); }

// 100,000 lines; the third firewall logs too little for a rule that counts.
std::vector<Traffic::Firewall> ThreeFirewalls() {
  return {{"fw-1", "FGT60FTK00000001", 49'900},
          {"fw-2", "FGT60FTK00000002", 49'900},
          {"fw-3", "FGT60FTK00000003", 200}};
}

// A send command a firewall, in the background.
class Senders {
 public:
  Senders(const SuiteProcess& suite, const Traffic& traffic, const std::string& to, int rate) {
    for (const auto& firewall : traffic.firewalls()) {
      const auto file = suite.data_dir() / (firewall.id + ".log");
      const auto output = suite.data_dir() / (firewall.id + ".out");
      traffic.WriteFile(firewall, file);
      outputs_.push_back(output);
      senders_.push_back(suite.Launch(
          {"send", "--to", to, "--rate", fmt::to_string(rate), file.string()}, output));
    }
  }
  bool Busy() {
    return std::ranges::any_of(senders_, [](auto& sender) { return !sender.ExitStatus(); });
  }
  void ExpectSuccess() {
    for (size_t i = 0; i < senders_.size(); ++i) {
      const auto status = senders_[i].ExitStatus();
      EXPECT_TRUE(status && WIFEXITED(*status) && WEXITSTATUS(*status) == 0)
          << ReadAll(outputs_[i]);
    }
  }

 private:
  std::vector<ChildProcess> senders_;
  std::vector<std::filesystem::path> outputs_;
};

// Kills with SIGKILL: each of `victims` as often as it is listed, in random order and at random
// moments. "suite" is the suite's own process, which is started again; its children come back by
// themselves.
void KillAll(SuiteProcess& suite, std::vector<std::string> victims, std::mt19937_64& random) {
  std::ranges::shuffle(victims, random);
  for (const auto& victim : victims) {
    // At any moment, unless it ends by itself before: then there is something else to tell.
    ASSERT_FALSE(Eventually(milliseconds(300 + random() % 2000), [&] { return !suite.Runs(); }))
        << "the suite ends by itself: " << ReadAll(suite.OutputFile());
    if (victim == "suite") {
      suite.KillHard();
      suite.Start();
      continue;
    }
    pid_t pid = 0;
    ASSERT_TRUE(Eventually(seconds(20), [&] { return (pid = suite.Child(victim)) > 0; }))
        << victim << " does not come back";
    kill(pid, SIGKILL);
    ASSERT_TRUE(Eventually(seconds(20), [&] { return suite.Child(victim) != pid; }));
  }
}

using Findings = std::vector<detection::v1::Finding>;
using Events = std::map<std::string, event::v1::Event>;  // by id

std::string SubjectOf(const detection::v1::Finding& finding) {
  const std::string field = SubjectField(finding.rule_id());
  for (const auto& matched : finding.matched_fields()) {
    if (matched.name() == field) return matched.value();
  }
  for (const auto& entity : finding.entities()) {
    if (entity.role() == "source") return entity.value();
  }
  return "";
}

std::multiset<std::string> AsText(const Findings& findings) {
  std::multiset<std::string> texts;
  for (const auto& finding : findings) {
    texts.insert(FindingText(finding.rule_id(), finding.device(), SubjectOf(finding),
                             finding.event_count(), FromProto(finding.first_event_time()),
                             FromProto(finding.last_event_time())));
  }
  return texts;
}

// Search finds every line that was sent, and none twice.
Events ExpectAllEventsOnce(Customer& customer, const Traffic& traffic) {
  std::optional<uint64_t> count;
  EXPECT_TRUE(Eventually(kPatience,
                         [&] {
                           count = customer.CountEvents();
                           return count && *count >= traffic.size();
                         }))
      << "only " << count.value_or(0) << " events arrive";
  const auto found = customer.Search("");
  EXPECT_TRUE(found);
  std::multiset<std::string> lines;
  Events by_id;
  for (const auto& event : found.value_or(std::vector<event::v1::Event>())) {
    lines.insert(event.raw());
    EXPECT_EQ(event.site(), "hq") << event.raw();
    EXPECT_THAT(event.flaws(), IsEmpty()) << event.raw();
    by_id[event.id()] = event;
  }
  EXPECT_EQ(Difference(traffic.lines(), lines), "");
  EXPECT_THAT(by_id, SizeIs(lines.size())) << "two events have one id";
  return by_id;
}

// The evidence is an event that search found.
template <typename Evidence>
void ExpectIsEvent(const Evidence& evidence, const Events& events) {
  const auto event = events.find(evidence.event_id());
  ASSERT_NE(event, events.end()) << evidence.event_id();
  EXPECT_EQ(event->second.raw(), evidence.raw());
}

// The findings that the rules promise, with exact counts, and no others; resting on their events.
Findings ExpectFindings(Customer& customer, const Traffic& traffic, const Events& events) {
  std::optional<Findings> findings;
  Eventually(kPatience, [&] {
    findings = customer.Findings();
    return findings && AsText(*findings) == traffic.findings();
  });
  EXPECT_TRUE(findings);
  EXPECT_EQ(Difference(traffic.findings(), AsText(findings.value_or(Findings()))), "");
  for (const auto& finding : findings.value_or(Findings())) {
    EXPECT_EQ(finding.evidence_size(), std::min<uint64_t>(finding.event_count(), 20))
        << finding.name();
    for (const auto& evidence : finding.evidence()) ExpectIsEvent(evidence, events);
  }
  return findings.value_or(Findings());
}

bool IsOver(const notification::v1::Delivery& delivery) {
  return delivery.state() == notification::v1::DELIVERED ||
         delivery.state() == notification::v1::FAILED ||
         delivery.state() == notification::v1::CANCELLED;
}

// One alert a finding, told once to the contact where it is grave enough; a mail that was accepted
// twice says so of itself, and the ledger knows why.
void ExpectMails(Customer& customer, const Findings& findings, const testing::SmtpServer& smtp) {
  const auto is_grave = [](const auto& message) { return message.severity() >= event::v1::HIGH; };
  const auto grave = static_cast<size_t>(std::ranges::count_if(findings, is_grave));
  std::optional<std::vector<notification::v1::Alert>> alerts;
  std::optional<std::vector<notification::v1::Delivery>> deliveries;
  EXPECT_TRUE(Eventually(kPatience,
                         [&] {
                           alerts = customer.Alerts();
                           deliveries = customer.Deliveries();
                           return alerts && deliveries && alerts->size() >= findings.size() &&
                                  deliveries->size() >= grave &&
                                  std::ranges::all_of(*deliveries, IsOver);
                         }))
      << (alerts ? alerts->size() : 0) << " alerts, " << (deliveries ? deliveries->size() : 0)
      << " deliveries";
  ASSERT_TRUE(alerts && deliveries);

  std::multiset<std::string> told;
  std::multiset<std::string> to_be_told;
  std::multiset<std::string> in_alerts;
  std::multiset<std::string> found;
  for (const auto& finding : findings) found.insert(finding.name());
  for (const auto& alert : *alerts) {
    EXPECT_EQ(alert.findings_size(), 1);
    in_alerts.insert(alert.findings().begin(), alert.findings().end());
    EXPECT_EQ(alert.unrouted(), !is_grave(alert));
    if (is_grave(alert)) to_be_told.insert(alert.name());
  }
  for (const auto& delivery : *deliveries) told.insert(delivery.alert());
  EXPECT_EQ(Difference(found, in_alerts), "");
  EXPECT_EQ(Difference(to_be_told, told), "");
  EXPECT_THAT(to_be_told, SizeIs(grave));

  std::map<std::string, std::vector<testing::SmtpServer::Received>> accepted;
  for (auto& mail : smtp.Mails()) {
    const std::string id = mail.Header("Message-ID");
    EXPECT_EQ(mail.Header("To"), Customer::kMailbox);
    accepted[id].push_back(std::move(mail));
  }
  for (const auto& delivery : *deliveries) {
    EXPECT_EQ(delivery.state(), notification::v1::DELIVERED) << delivery.ShortDebugString();
    const auto mails = accepted.extract("<" + delivery.message_id() + ">");
    ASSERT_FALSE(mails.empty()) << "never arrived: " << delivery.ShortDebugString();
    const auto unknown = std::ranges::count_if(delivery.attempts(), [](const auto& attempt) {
      return attempt.result() == notification::v1::INTERRUPTED ||
             attempt.result() == notification::v1::AMBIGUOUS;
    });
    EXPECT_LE(mails.mapped().size(), 1 + static_cast<size_t>(unknown))
        << "a repeat without a reason: " << delivery.ShortDebugString();
    for (size_t i = 1; i < mails.mapped().size(); ++i) {
      EXPECT_EQ(mails.mapped()[i].Header("X-Yagura-Possible-Repeat"), "yes");
    }
  }
  EXPECT_THAT(accepted, IsEmpty()) << "mails that are in no ledger";
}

// One ticket a finding, which carries events that search finds.
void ExpectTickets(Customer& customer, const Findings& findings, const Events& events) {
  std::optional<std::vector<ticketing::v1::Ticket>> tickets;
  EXPECT_TRUE(Eventually(kPatience,
                         [&] {
                           tickets = customer.Tickets();
                           return tickets && tickets->size() >= findings.size();
                         }))
      << (tickets ? tickets->size() : 0) << " tickets of " << findings.size();
  ASSERT_TRUE(tickets);
  std::multiset<std::string> found;
  std::multiset<std::string> in_tickets;
  std::map<std::string, std::string> subjects;
  for (const auto& finding : findings) {
    found.insert(finding.name());
    subjects[finding.name()] = SubjectOf(finding);
  }
  for (const auto& ticket : *tickets) {
    ASSERT_EQ(ticket.findings_size(), 1) << ticket.name();
    in_tickets.insert(ticket.findings(0));
    EXPECT_THAT(ticket.evidence(), Not(IsEmpty())) << ticket.name();
    for (const auto& evidence : ticket.evidence()) {
      ExpectIsEvent(evidence, events);
      EXPECT_THAT(evidence.raw(), HasSubstr(subjects[ticket.findings(0)]));
    }
  }
  EXPECT_EQ(Difference(found, in_tickets), "");
}

std::map<std::string, uint64_t> AsMap(
    const google::protobuf::RepeatedPtrField<reporting::v1::CountRow>& rows) {
  std::map<std::string, uint64_t> map;
  for (const auto& row : rows) {
    if (row.count() > 0) map[row.label()] += row.count();
  }
  return map;
}

// The report's numbers are those of the lines.
void ExpectReport(const reporting::v1::ReportContent& report, const Traffic& traffic) {
  EXPECT_EQ(report.events().count(), traffic.size());
  EXPECT_EQ(AsMap(report.events_by_action()), traffic.events_by_action());
  EXPECT_EQ(AsMap(report.top_signatures()), traffic.events_by_signature());
  uint64_t by_severity = 0;
  for (const auto& row : report.events_by_severity()) by_severity += row.count();
  EXPECT_EQ(by_severity, traffic.size());
  EXPECT_EQ(report.findings().count(), traffic.findings().size());
  EXPECT_EQ(AsMap(report.findings_by_severity()), traffic.findings_by_severity());
  EXPECT_EQ(report.tickets_opened().count(), traffic.findings().size());
  EXPECT_EQ(report.coverage().flawed_events(), 0u);
  EXPECT_EQ(report.coverage().clock_errors(), 0u);
  std::map<std::string, uint64_t> by_device;
  for (const auto& row : report.coverage().sources()) by_device[row.device()] += row.event_count();
  std::map<std::string, uint64_t> sent;
  for (const auto& firewall : traffic.firewalls()) sent[firewall.id] = firewall.lines;
  EXPECT_EQ(by_device, sent);
}

class MainJob : public ::testing::Test {
 protected:
  std::vector<std::string> SmtpFlag() const {
    return {"--smtp", fmt::format("127.0.0.1:{}", smtp_.port())};
  }
  // Everything that must have come of the traffic by itself.
  void ExpectAll(Customer& customer, const Traffic& traffic) {
    const Events events = ExpectAllEventsOnce(customer, traffic);
    const Findings findings = ExpectFindings(customer, traffic, events);
    ExpectMails(customer, findings, smtp_);
    ExpectTickets(customer, findings, events);
    ExpectReport(customer.Report(), traffic);
  }

  testing::SmtpServer smtp_;
};

TEST_F(MainJob, WhatIsPushedComesThroughOnceWhateverIsKilled) {
  const uint64_t seed = Seed();
  std::mt19937_64 random(seed);
  SuiteProcess suite(SmtpFlag());
  const Traffic traffic(ThreeFirewalls(), seed, TrafficStart());
  Customer customer(suite, traffic.firewalls());

  Senders senders(suite, traffic, "grpc", 2500);
  const auto kill_everybody = [&] { KillAll(suite, {"state", "flow", "store", "suite"}, random); };
  while (senders.Busy()) ASSERT_NO_FATAL_FAILURE(kill_everybody());
  senders.ExpectSuccess();
  ASSERT_NO_FATAL_FAILURE(kill_everybody());

  ExpectAll(customer, traffic);
  suite.Stop();
}

TEST_F(MainJob, WhatComesOverTcpComesThroughOnceWhileRedisAndStoreAreKilled) {
  const uint64_t seed = Seed();
  std::mt19937_64 random(seed);
  SuiteProcess suite(SmtpFlag());
  const Traffic traffic(ThreeFirewalls(), seed, TrafficStart());
  Customer customer(suite, traffic.firewalls());

  Senders senders(suite, traffic, "syslog-tcp", 2500);
  const auto kill_children = [&] { KillAll(suite, {"state", "flow", "store"}, random); };
  while (senders.Busy()) ASSERT_NO_FATAL_FAILURE(kill_children());
  senders.ExpectSuccess();
  ASSERT_NO_FATAL_FAILURE(kill_children());

  ExpectAll(customer, traffic);
  suite.Stop();
}

// A file with the secret of a new API key of the provider's staff.
std::string NewKey(const SuiteProcess& suite, const std::string& id,
                   const std::vector<std::string>& roles) {
  const std::string file = (suite.data_dir() / (id + ".key")).string();
  std::vector<std::string> arguments = {"key",      "create",        id,  "--tenant",
                                        "provider", "--secret-file", file};
  for (const auto& role : roles) arguments.insert(arguments.end(), {"--role", role + "@acme"});
  suite.Run(arguments);
  return file;
}

constexpr std::string_view kRuleset =
    "table inet filter {\n"
    "\tchain input {\n"
    "\t\ttype filter hook input priority filter; policy accept;\n"
    "\t\ttcp dport 22 accept\n"
    "\t}\n"
    "}\n";

// Alice backs the firewall up and writes a change that drops `source`; Bob approves it; it is
// applied and verified. Gives the change.
config::v1::Change ChangeDevice(const SuiteProcess& suite, testing::NftDevice& device,
                                const std::string& source, const std::string& ticket) {
  const auto alice = NewKey(suite, "alice", {"engineer", "approver"});
  const auto bob = NewKey(suite, "bob", {"approver"});
  const auto write = [&suite](const std::string& name, const std::string& text) {
    const auto file = suite.data_dir() / name;
    std::ofstream(file) << text;
    return file.string();
  };
  const auto run = [&suite](const std::string& key, std::vector<std::string> arguments,
                            int expected_exit_code = 0) {
    arguments.insert(arguments.begin(), {"--api-key-file", key, "-o", "json"});
    return suite.Run(arguments, expected_exit_code);
  };
  device.Load(kRuleset);
  const std::string key_file = write("device.key", device.private_key());
  run(alice, {"credential", "create", "root", "--tenant", "acme", "--user-name", "root",
              "--private-key-file", key_file});
  run(alice, {"device", "add", "fw-1", "--tenant", "acme", "--address", device.address(), "--port",
              fmt::to_string(device.port()), "--host-key", device.host_key_fingerprint(),
              "--credential", "root", "--site", "hq"});
  run(alice, {"device", "snapshot", "fw-1", "--tenant", "acme"});

  const std::string rule = fmt::format("ip saddr {} drop", source);
  std::string wanted = device.Ruleset();
  wanted.insert(wanted.find("\t\ttcp dport 22"), "\t\t" + rule + "\n");
  const std::string created =
      run(alice, {"change", "create", "Drop an attacker", "--tenant", "acme", "--device", "fw-1",
                  "--reason", "It attacks, and nothing stops it", "--ticket", ticket,
                  "--config-file", write("wanted.nft", wanted), "--check-contains", rule});
  config::v1::Change change;
  const auto parsed = google::protobuf::util::JsonStringToMessage(created, &change);
  EXPECT_TRUE(parsed.ok()) << created;
  EXPECT_THAT(change.diff(), HasSubstr("+\t\t" + rule));
  run(alice, {"change", "submit", change.name()});
  EXPECT_THAT(run(alice, {"change", "approve", change.name()}, 1), HasSubstr("SELF_APPROVAL"));
  run(alice, {"change", "apply", change.name()}, 1);
  EXPECT_THAT(device.Ruleset(), Not(HasSubstr(rule)));
  run(bob, {"change", "approve", change.name(), "--comment", "do it"});
  run(alice, {"change", "apply", change.name()});
  EXPECT_THAT(device.Ruleset(), HasSubstr(rule));
  return change;
}

TEST_F(MainJob, AFindingIsToldWorkedOnEndedByAChangeAndReported) {
  const uint64_t seed = Seed();
  SuiteProcess suite(SmtpFlag());
  const Traffic traffic({{"fw-1", "FGT60FTK00000001", 5000}}, seed, TrafficStart());
  Customer customer(suite, traffic.firewalls());

  // Killed when the first mail is accepted, before the ledger can know.
  smtp_.Script({fmt::format("keep-kill {}", suite.pid())});
  Senders senders(suite, traffic, "grpc", 2500);
  ASSERT_TRUE(Eventually(kPatience, [&] { return !suite.Runs(); })) << "no mail is sent";
  suite.Start();
  ASSERT_TRUE(Eventually(kPatience, [&] { return !senders.Busy(); }));
  senders.ExpectSuccess();
  const Events events = ExpectAllEventsOnce(customer, traffic);
  const Findings findings = ExpectFindings(customer, traffic, events);
  ASSERT_NO_FATAL_FAILURE(ExpectMails(customer, findings, smtp_));
  ASSERT_NO_FATAL_FAILURE(ExpectTickets(customer, findings, events));
  const auto mails = smtp_.Mails();
  EXPECT_EQ(std::ranges::count(mails, mails[0].Header("Message-ID"),
                               [](const auto& mail) { return mail.Header("Message-ID"); }),
            2);

  const auto finding = std::ranges::find(findings, event::v1::CRITICAL,
                                         [](const auto& one) { return one.severity(); });
  ASSERT_NE(finding, findings.end());
  const auto of_finding = [&](const auto& one) { return one.findings(0) == finding->name(); };
  const auto alerts = *customer.Alerts();
  const auto alert = std::ranges::find_if(alerts, of_finding)->name();
  suite.Run({"alert", "ack", alert, "--comment", "looking at it"});
  EXPECT_THAT(suite.Run({"alert", "get", alert}),
              AllOf(HasSubstr("ACKNOWLEDGED"), HasSubstr("looking at it")));
  const auto tickets = *customer.Tickets();
  const auto ticket = std::ranges::find_if(tickets, of_finding)->name();
  suite.Run({"ticket", "start", ticket});
  suite.Run({"ticket", "comment", ticket, "We stop it at the firewall.", "--public"});
  const std::string no_device = testing::NftDevice::WhyUnavailable();
  config::v1::Change change;
  if (no_device.empty()) {
    testing::NftDevice device;
    change = ChangeDevice(suite, device, SubjectOf(*finding), ticket);
  }
  suite.Run({"ticket", "resolve", ticket, "--resolution", "The attacker is dropped."});
  suite.Run({"ticket", "close", ticket});

  const auto report = customer.Report();
  ExpectReport(report, traffic);
  EXPECT_EQ(report.tickets_resolved().count(), 1u);
  const auto row =
      std::ranges::find(report.ticket_rows(), ticket, [](const auto& one) { return one.name(); });
  ASSERT_NE(row, report.ticket_rows().end());
  EXPECT_EQ(row->state(), "CLOSED");
  if (no_device.empty()) {
    ASSERT_EQ(report.change_rows_size(), 1);
    EXPECT_EQ(report.change_rows(0).name(), change.name());
    EXPECT_EQ(report.change_rows(0).state(), "VERIFIED");
    EXPECT_EQ(report.change_rows(0).approver(), "bob (API key)");
  }
  suite.Stop();
  if (!no_device.empty()) GTEST_SKIP() << "no change on a device: " << no_device;
}

}  // namespace
}  // namespace yagura::e2e
