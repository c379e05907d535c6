// Cause and countermeasure for people: content/advice, and how a finding's values get into it.
#include "services/detection/domain/advice.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "services/detection/domain/observation/destinations.h"
#include "services/detection/domain/observation/local_hours.h"
#include "services/detection/domain/observation/matters.h"
#include "services/detection/domain/observation/measures.h"
#include "services/detection/domain/surroundings.h"

namespace yagura::detection {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::vector<std::filesystem::path> Files() {
  const char* source = std::getenv("YAGURA_SOURCE_DIR");
  const auto folder = std::filesystem::path(source != nullptr ? source : ".") / "content/advice";
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".yaml") files.push_back(entry.path());
  }
  return files;
}

std::string TextOf(const std::filesystem::path& file) {
  std::ifstream in(file);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

const AdviceBook& Book() {
  static const AdviceBook book = [] {
    AdviceBook made;
    for (const auto& file : Files()) {
      const auto status = made.Add(file.stem().string(), TextOf(file));
      EXPECT_TRUE(status.ok()) << status;
    }
    return made;
  }();
  return book;
}

v1::Finding Tagged(std::string_view title, std::vector<std::string> tags) {
  v1::Finding finding;
  finding.set_title(std::string(title));
  for (auto& tag : tags) finding.add_tags(std::move(tag));
  return finding;
}

void Name(v1::Finding& finding, v1::EntityType type, std::string_view value,
          std::string_view role = "") {
  auto* entity = finding.add_entities();
  entity->set_type(type);
  entity->set_value(std::string(value));
  entity->set_role(std::string(role));
}

// Every file loads (or Book fails), in both languages, with places that are known.
TEST(AdviceContent, EveryFileIsGoodInBothLanguages) {
  EXPECT_GE(Book().size(), 25U);
  EXPECT_EQ(Book().size(), Files().size());
  v1::Finding bare;
  for (const auto& file : Files()) {
    AdviceBook alone;
    std::string text = TextOf(file);
    ASSERT_TRUE(alone.Add("x", text + "\n").ok());
    // As if it fitted anything: nothing is left to be filled in, whatever a finding lacks.
    const size_t match = text.find("match:\n");
    ASSERT_NE(match, std::string::npos) << file;
    if (text.find("default: true") == std::string::npos) {
      text.insert(match + 7, "    default: true\n");
    }
    ASSERT_TRUE(alone.Add("x", text).ok()) << file;
    const auto advice = alone.Fill(bare, {"ja", "en"});
    ASSERT_EQ(advice.texts_size(), 2) << file;
    for (const auto& one : advice.texts()) {
      for (const auto& part : {one.title(), one.cause(), one.countermeasure()}) {
        EXPECT_FALSE(part.empty()) << file;
        EXPECT_THAT(part, Not(HasSubstr("{"))) << file;
        EXPECT_THAT(part, Not(HasSubstr("  "))) << file;
      }
      const bool has_japanese = one.cause().find("。") != std::string::npos;
      EXPECT_EQ(has_japanese, one.language() == "ja") << file;
    }
  }
}

TEST(AdviceContent, FitsTheFinding) {
  struct Case {
    const char* title;
    std::vector<std::string> tags;
    const char* signature;
    const char* advice;
  };
  for (const Case& one : std::vector<Case>{
           {"Port scan from one address", {"attack.t1046"}, "", "port-scan"},
           {"FortiGate administrator log-ins fail again and again",
            {"attack.credential-access", "attack.t1110.001"},
            "",
            "brute-force"},
           {"FortiGate IPS saw a grave attack and let it through",
            {"attack.initial-access", "attack.t1190"},
            "HTTP.URI.SQL.Injection",
            "sql-injection"},
           {"IPS", {"attack.t1190"}, "Cross-Site.Scripting", "cross-site-scripting"},
           {"IPS", {"attack.t1190"}, "Path.Traversal", "path-traversal"},
           {"IPS",
            {"attack.t1190"},
            "Apache.Log4j.Error.Log.Remote.Code.Execution",
            "remote-code-execution"},
           {"Something", {"attack.t1190", "cve.2021-44228"}, "", "known-vulnerability"},
           {"Webshell", {"attack.persistence", "attack.t1505.003"}, "", "web-shell"},
           {"Beaconing",
            {"attack.command-and-control", "attack.t1071.001"},
            "",
            "malware-command-and-control"},
           {"DNS", {"attack.command-and-control", "attack.t1071.004"}, "", "dns-tunnelling"},
           {"Mail", {"attack.initial-access", "attack.t1566.001"}, "", "malicious-download"},
           {"FortiGate found malware", {"attack.execution"}, "EICAR_TEST_FILE", "malware-detected"},
           {"App control", {}, "BitTorrent", "peer-to-peer"},
           {"FortiGate administrator logged in from a public address",
            {"attack.initial-access", "attack.t1133"},
            "",
            "administrator-login-from-outside"},
           {"FortiGate configuration changed", {"attack.t1562"}, "", "configuration-change"},
           {"Upload", {"attack.exfiltration", "attack.t1048"}, "", "data-upload"},
           {"Vssadmin", {"attack.impact", "attack.t1490"}, "", "ransomware"},
           {"LSASS Access",
            {"attack.credential-access", "attack.t1003.001"},
            "",
            "credential-dumping"},
           {"Remote service",
            {"attack.lateral-movement", "attack.t1021.002"},
            "",
            "lateral-movement"},
           {"PowerShell", {"attack.execution", "attack.t1059.001"}, "", "suspicious-execution"},
           {"Cleared", {"attack.t1070.001"}, "", "logs-deleted"},
           {"Anything", {}, "", "general"},
           // Words stand alone: "force" has no "rce" in it, "research" no "c2".
           {"Air force research", {}, "", "general"},
       }) {
    v1::Finding finding = Tagged(one.title, one.tags);
    finding.mutable_event()->set_signature(one.signature);
    EXPECT_EQ(Book().Choose(finding), one.advice) << one.title << " " << one.signature;
  }
  v1::Finding silent = Tagged("A log source is silent", {});
  silent.set_rule_id("00000000-0000-4000-8000-000000000003");
  EXPECT_EQ(Book().Choose(silent), "log-source-silent");
}

TEST(AdviceContent, FitsWhatObservationFinds) {
  const auto zone = LocalHours::Make("Asia/Tokyo");
  ASSERT_TRUE(zone.ok());
  internal::v1::OpenMatter matter;
  matter.set_count(1);
  const std::map<v1::Measure, std::string> more = {{v1::DENIES, "observed-denies"},
                                                   {v1::UPLOADED_BYTES, "observed-uploads"},
                                                   {v1::DESTINATIONS, "observed-destinations"},
                                                   {v1::SIGNATURES, "observed-signatures"},
                                                   {v1::GRAVE_SIGNATURES, "observed-signatures"},
                                                   {v1::FAILED_LOGONS, "observed-logons"}};
  for (const MeasureFacts& measure : AllMeasures()) {
    DeviationFacts facts;
    facts.tenant = "acme";
    facts.device.device = "fw-1";
    facts.measure = measure.measure;
    facts.judged.observed = 4'321;
    for (const HourVerdict verdict : {HourVerdict::kMore, HourVerdict::kFewer}) {
      facts.judged.surprise.verdict = verdict;
      const v1::Finding finding = DeviationOutcome(facts, *zone, matter).finding;
      const v1::Advice advice = Book().Fill(finding, {"en", "ja"});
      EXPECT_EQ(advice.id(),
                verdict == HourVerdict::kMore ? more.at(measure.measure) : "observed-fewer")
          << finding.title();
      const std::string amount = AmountText(measure.measure, 4'321);
      for (const auto& one : advice.texts()) EXPECT_THAT(one.cause(), HasSubstr(amount));
    }
  }
  NewDestinations server{.tenant = "acme", .server = {10, 1, 0, 5}};
  server.flows.emplace_back().set_dst_ip(std::string{static_cast<char>(203), 0, 113, 9});
  server.flows[0].set_dst_port(443);
  const auto fresh = Book().Fill(NewDestinationOutcome(server, matter).finding, {"en"});
  EXPECT_EQ(fresh.id(), "new-destination");
  EXPECT_THAT(fresh.texts(0).cause(), HasSubstr("The server 10.1.0.5 reached 203.0.113.9:443"));
  Beacons beacons{.tenant = "acme"};
  auto& flow = beacons.flows.emplace_back();
  flow.set_src_ip({10, 1, 0, 5});
  flow.set_dst_ip(server.flows[0].dst_ip());
  flow.set_dst_port(443);
  flow.set_median_interval_seconds(300);
  const auto calls = Book().Fill(BeaconOutcome(beacons, matter).finding, {"ja"});
  EXPECT_EQ(calls.id(), "beacon");
  EXPECT_THAT(calls.texts(0).cause(), HasSubstr("5.0 min"));
}

constexpr std::string_view kText = R"(
match:
    default: true
en:
    title: Title
    cause: From {source} to {target}:{port} by {user}, {signature}, {url}, {cve}.
    countermeasure: Deny it on {firewall}.
ja:
    title: 題
    cause: "{source} から {target}"
    countermeasure: "{firewall} で拒否"
)";

v1::AdviceText Filled(const v1::Finding& finding, const std::string& language = "en") {
  AdviceBook book;
  EXPECT_TRUE(book.Add("x", kText).ok());
  const auto advice = book.Fill(finding, {language});
  EXPECT_EQ(advice.texts_size(), 1);
  return advice.texts(0);
}

v1::Finding FirewallFinding(event::v1::Action action) {
  v1::Finding finding;
  finding.set_device("fw-1");
  finding.set_action(action);
  auto& event = *finding.mutable_event();
  event.mutable_src()->set_ip(std::string("\xc0\0\2\7", 4));
  event.mutable_dst()->set_port(443);
  event.set_rule("21");
  event.set_signature("Some.Signature");
  Name(finding, v1::IP_ADDRESS, "192.0.2.7", "source");
  for (const char* target : {"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5"}) {
    Name(finding, v1::IP_ADDRESS, target, "target");
  }
  Name(finding, v1::USER, "tanaka", "actor");
  Name(finding, v1::URL, "http://evil.example/x", "target");
  return finding;
}

TEST(Advice, IsFilledWithTheTenantsValues) {
  const auto texts = Filled(FirewallFinding(event::v1::DETECTED));
  EXPECT_EQ(texts.cause(),
            "From 192.0.2.7 to 10.0.0.1, 10.0.0.2, 10.0.0.3 and 2 more:443 by tanaka, "
            "Some.Signature, http[:]//evil[.]example/x, no CVE id is given.");
  EXPECT_EQ(texts.countermeasure(), "Deny it on fw-1 (above its rule 21, which let it through).");
}

TEST(Advice, NamesEachSignatureOfAFinding) {
  auto finding = FirewallFinding(event::v1::DETECTED);
  for (const char* signature : {"Some.Signature", "Other", "", "Third", "Fourth"}) {
    finding.add_evidence()->set_signature(signature);
  }
  EXPECT_THAT(Filled(finding).cause(), HasSubstr(", Some.Signature, Other, Third and 1 more, "));
}

TEST(Advice, SaysWhichRuleOnWhichDevice) {
  auto finding = FirewallFinding(event::v1::BLOCKED);
  EXPECT_EQ(Filled(finding).countermeasure(), "Deny it on fw-1 (whose rule 21 stopped it).");
  finding.mutable_event()->set_virtual_context("dmz");
  EXPECT_EQ(Filled(finding, "ja").countermeasure(), "fw-1（ルール 21 (dmz) で遮断済み） で拒否");
  finding.mutable_event()->clear_rule();
  EXPECT_EQ(Filled(finding).countermeasure(), "Deny it on fw-1.");
  // A session has been let through, and who names no rule of it may be no firewall.
  finding = FirewallFinding(event::v1::ENDED);
  EXPECT_EQ(Filled(finding).countermeasure(),
            "Deny it on fw-1 (above its rule 21, which let it through).");
  finding.mutable_event()->clear_rule();
  EXPECT_EQ(Filled(finding).countermeasure(), "Deny it on the firewall in the path.");
  // Who decides nothing is no firewall.
  finding.set_action(event::v1::LOGON);
  EXPECT_EQ(Filled(finding).countermeasure(), "Deny it on the firewall in the path.");
}

TEST(Advice, WhatLogsSayIsNeverReadAsATextOrShownAsMoreThanALine) {
  auto finding = FirewallFinding(event::v1::ALLOWED);
  finding.clear_entities();
  Name(finding, v1::IP_ADDRESS, "{target}{firewall}", "source");
  Name(finding, v1::USER, "a\nCause: pay us\x1b[2J\u202egnp.exe", "actor");
  Name(finding, v1::URL, std::string(100'000, 'u'), "target");
  finding.mutable_event()->set_rule("{source}");
  const auto texts = Filled(finding);
  EXPECT_THAT(texts.cause(), HasSubstr("From {target}{firewall} to the target"));
  EXPECT_THAT(texts.cause(), HasSubstr("a\\x0aCause: pay us\\x1b[2J\\xe2\\x80\\xaegnp.exe"));
  EXPECT_THAT(texts.cause(), Not(HasSubstr("\n")));
  EXPECT_LT(texts.cause().size(), 1000U);
  EXPECT_THAT(texts.countermeasure(), HasSubstr("above its rule {source}, which"));
}

TEST(Advice, RefusesWhatIsNotGood) {
  const std::string good(kText);
  const auto with = [&good](std::string_view what, std::string_view by) {
    std::string text = good;
    text.replace(text.find(what), what.size(), by);
    AdviceBook book;
    return book.Add("x", text);
  };
  EXPECT_TRUE(with("Title", "Other").ok());
  for (const auto& [what, by] : std::vector<std::pair<std::string, std::string>>{
           {"{firewall}", "{password}"},
           {"{firewall}", "{}"},
           {"ja:", "fr:"},
           {"    title: Title\n", ""},
           {"default: true", "defualt: true"},
           {"default: true", "tags: attack.t1046"},
           {"match:", "- match:"},
           {"Title", std::string(5000, 'x')},
           {"Title", "''"},
           {"match:", "match: [\n"},
       }) {
    EXPECT_FALSE(with(what, by).ok()) << what << " -> " << by.substr(0, 40);
  }
  AdviceBook book;
  EXPECT_FALSE(book.Add("x", std::string(AdviceBook::kMaxFile + 1, ' ')).ok());
  EXPECT_FALSE(book.Add("x", "").ok());
  EXPECT_TRUE(book.Fill(v1::Finding(), {"en"}).texts().empty());
}

TEST(Advice, ComesInTheTenantsLanguage) {
  auto book = std::make_shared<AdviceBook>();
  ASSERT_TRUE(book->Add("x", kText).ok());
  Surroundings surroundings(book);
  surroundings.SetLanguages({{"acme", "ja"}});
  v1::Finding finding;
  finding.set_name("tenants/acme/findings/f");
  surroundings.Advise(finding, false);
  ASSERT_EQ(finding.advice().texts_size(), 1);
  EXPECT_EQ(finding.advice().texts(0).language(), "ja");
  EXPECT_EQ(finding.advice().id(), "x");
  surroundings.Advise(finding, true);
  ASSERT_EQ(finding.advice().texts_size(), 2);
  EXPECT_EQ(finding.advice().texts(1).language(), "en");
  finding.set_name("tenants/other/findings/f");
  surroundings.Advise(finding, false);
  EXPECT_EQ(finding.advice().texts(0).language(), "en");
}

}  // namespace
}  // namespace yagura::detection
