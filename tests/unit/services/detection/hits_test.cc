#include "services/detection/domain/hits.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/clock/proto_time.h"
#include "services/detection/domain/evidence_block.h"
#include "tests/unit/services/detection/engine_fixture.h"

namespace yagura::detection {
namespace {

using testing::BatchOf;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::MakeEvent;
using testing::RuleWith;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

event::v1::Event LoginAt(int second, std::string_view user, std::string_view name = "login") {
  auto event = MakeEvent({{"what", name}, {"who", user}});
  *event.mutable_receive_time() = ToProto(TimePoint(std::chrono::seconds(1000 + second)));
  *event.mutable_event_time() = ToProto(TimePoint(std::chrono::seconds(1000 + second)));
  event.set_device("fw-1");
  event.mutable_src()->set_ip(std::string("\x0a\0\0\x01", 4));
  return event;
}

const std::string& CorrelationText() {
  static const std::string text =
      RuleWith("  s:\n    what: login\n  condition: s") +
      "---\ntitle: Many logins\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c002\nlevel: high\n"
      "correlation:\n  type: event_count\n  rules: [4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c001]\n"
      "  group-by: [who]\n  timespan: 1m\n  condition:\n    gte: 3\n";
  return text;
}

std::vector<std::pair<int, internal::v1::HitBatch>> RawHitsOf(
    const std::vector<std::string>& texts, const std::vector<event::v1::Event>& events) {
  std::vector<RuleSet::Entry> entries;
  for (const auto& text : texts) {
    auto parsed = ParseSigma(text);
    EXPECT_TRUE(parsed.ok()) << parsed.status();
    entries.push_back({"", std::make_shared<const ParsedRule>(*std::move(parsed))});
  }
  BatchMatcher matcher(RuleSet::Build(std::move(entries)));
  auto batch = BatchOf(events);
  const auto matches = matcher.Run(batch);
  auto hits = MakeHits(
      matcher, batch, *matches, {2, "5-1", 7}, [](std::string_view) { return 3; },
      std::chrono::minutes(10));
  EXPECT_TRUE(hits.ok()) << hits.status();
  return *std::move(hits);
}

// The same, each hit whole in itself.
std::vector<std::pair<int, internal::v1::HitBatch>> HitsOf(
    const std::string& text, const std::vector<event::v1::Event>& events) {
  auto hits = RawHitsOf({text}, events);
  for (auto& [shard, batch] : hits) {
    for (auto& hit : *batch.mutable_hits()) InlineEvidence(batch.evidence(), hit);
  }
  return hits;
}

TEST(Hits, CountsEventsOfAGroupTogether) {
  const auto hits = HitsOf(CorrelationText(), {LoginAt(0, "a"), LoginAt(2, "a"), LoginAt(1, "b"),
                                               LoginAt(3, "a", "logout")});
  ASSERT_THAT(hits, SizeIs(1));
  const auto& batch = hits[0].second;
  EXPECT_EQ(batch.tenant(), "acme");
  EXPECT_EQ(batch.source_shard(), 2U);
  EXPECT_EQ(batch.source_id(), "5-1");
  EXPECT_EQ(batch.epoch(), 7U);
  EXPECT_EQ(batch.received(), 1002LL * 1'000'000'000);
  ASSERT_THAT(batch.rules(), SizeIs(1));
  EXPECT_EQ(batch.rules(0).threshold(), 3U);
  ASSERT_THAT(batch.hits(), SizeIs(2));
  EXPECT_THAT(batch.hits(0).times(), SizeIs(2));
  EXPECT_EQ(batch.hits(0).group(0).value(), "a");
  EXPECT_THAT(batch.hits(1).times(), SizeIs(1));
}

TEST(Hits, DescribesTheFirstEventOfASingleRule) {
  const auto hits = HitsOf(RuleWith("  s:\n    what: login\n  condition: s"), {LoginAt(0, "a")});
  ASSERT_THAT(hits, SizeIs(1));
  const auto& hit = hits[0].second.hits(0);
  EXPECT_EQ(hits[0].second.rules(0).threshold(), 1U);
  EXPECT_EQ(hit.device(), "fw-1");
  EXPECT_EQ(hit.matched_fields(0).name(), "what");
  EXPECT_EQ(hit.matched_fields(0).value(), "login");
  ASSERT_THAT(hit.evidence(0).entities(), SizeIs(1));
  EXPECT_EQ(hit.evidence(0).entities(0).value(), "10.0.0.1");
  EXPECT_FALSE(hit.evidence(0).event_id().empty());
}

std::vector<std::string> Named(const v1::Evidence& evidence, v1::EntityType type) {
  std::vector<std::string> values;
  for (const auto& entity : evidence.entities()) {
    if (entity.type() == type) values.push_back(entity.value());
  }
  return values;
}

std::vector<std::string> MatchedNames(
    const google::protobuf::RepeatedPtrField<event::v1::Field>& fields) {
  std::vector<std::string> names;
  for (const auto& field : fields) names.push_back(field.name() + "=" + field.value());
  return names;
}

v1::Evidence EvidenceOf(const event::v1::Event& event,
                        const std::string& detection = "  s:\n    what: login\n  condition: s") {
  const auto hits = HitsOf(RuleWith(detection), {event});
  EXPECT_THAT(hits, SizeIs(1));
  return hits.empty() ? v1::Evidence() : hits[0].second.hits(0).evidence(0);
}

TEST(Hits, TellWhichFieldsMatchedAndNotWhichWereTested) {
  const auto event = MakeEvent({{"what", "login"}, {"who", "a"}, {"where", "x"}, {"how", "ssh"}});
  const auto of = [&event](const std::string& detection) {
    return MatchedNames(EvidenceOf(event, detection).matched_fields());
  };
  EXPECT_THAT(of("  s:\n    what: login\n  f:\n    who: b\n  condition: s and not f"),
              ElementsAre("what=login"));
  EXPECT_THAT(of("  s:\n    what: login\n  t:\n    how: telnet\n  condition: s or t"),
              ElementsAre("what=login"));
  EXPECT_THAT(of("  s:\n    what|contains: og\n    how: ssh\n  t:\n    where: y\n"
                 "  condition: s and not t"),
              UnorderedElementsAre("what=login", "how=ssh"));
  EXPECT_THAT(of("  s:\n    what: login\n  k:\n    - ssh\n  condition: s and k"),
              ElementsAre("what=login"));
  EXPECT_THAT(of("  f:\n    who: b\n  condition: not f"), ElementsAre("who=a"));
}

TEST(Hits, EvidenceNamesEntitiesByType) {
  auto event = MakeEvent({{"what", "login"},
                          {"TargetFilename", "C:\\tmp\\a.exe"},
                          {"Hashes",
                           "SHA1=0123456789012345678901234567890123456789,MD5="
                           "00112233445566778899AABBCCDDEEFF,IMPHASH="
                           "00112233445566778899aabbccddeeff00112233445566778899aabb"
                           "ccddeeff"},
                          {"filehash", "not a hash"},
                          {"alert.metadata.cve", "CVE_2021_44228"},
                          {"alert.metadata.affected_product", "Apache_Log4j2"},
                          {"enriched.dst.asset", "web-1"},
                          {"enriched.src.scope", "external"},
                          {"enriched.dst.scope", "internal"}});
  event.mutable_src()->set_ip(std::string("\xc0\0\2\7", 4));
  event.mutable_dst()->set_ip(std::string("\x0a\0\0\1", 4));
  event.mutable_dst()->set_host("www.example.com");
  event.set_user("tanaka");
  event.set_host("web1");
  event.set_signature("Something.CVE-2014-6271.Shell");
  const auto evidence = EvidenceOf(event);
  EXPECT_THAT(Named(evidence, v1::IP_ADDRESS), ElementsAre("192.0.2.7", "10.0.0.1"));
  EXPECT_THAT(Named(evidence, v1::USER), ElementsAre("tanaka"));
  EXPECT_THAT(Named(evidence, v1::HOST), ElementsAre("web1", "www.example.com"));
  EXPECT_THAT(Named(evidence, v1::FILE), ElementsAre("C:\\tmp\\a.exe"));
  EXPECT_THAT(Named(evidence, v1::FILE_HASH),
              ElementsAre("0123456789012345678901234567890123456789"));
  EXPECT_THAT(Named(evidence, v1::VULNERABILITY), ElementsAre("CVE-2014-6271", "CVE-2021-44228"));
  EXPECT_THAT(Named(evidence, v1::PRODUCT), ElementsAre("Apache_Log4j2"));
  EXPECT_THAT(Named(evidence, v1::ASSET), ElementsAre("web-1"));
  EXPECT_EQ(HitsOf(RuleWith("  s:\n    what: login\n  condition: s"), {event})[0]
                .second.hits(0)
                .event()
                .direction(),
            "inbound");
}

TEST(Hits, WhatAnEventNamesIsBounded) {
  auto event = MakeEvent({{"what", "login"}});
  for (int i = 0; i < 100; ++i) {
    auto* field = event.add_fields();
    field->set_name(i % 2 == 0 ? "filename" : "cve" + std::to_string(i));
    field->set_value(std::to_string(i) + std::string(5000, 'x') + " CVE-2021-0000" + "1");
  }
  event.set_user(std::string(5000, 'u'));
  const auto evidence = EvidenceOf(event);
  EXPECT_LE(evidence.entities_size(), 16);
  for (const auto& entity : evidence.entities()) EXPECT_LE(entity.value().size(), 256U);
}

TEST(Hits, TheTypedCoreOfAnEventComesAlongWithoutItsFields) {
  auto event = LoginAt(0, "a");
  event.mutable_dst()->set_ip(std::string("\x0a\0\0\2", 4));
  event.mutable_dst()->set_port(443);
  event.set_rule("21");
  event.set_signature("Shellshock");
  event.set_protocol("tcp");
  event.set_action(event::v1::DETECTED);
  event.set_message("the message");
  const auto hits = HitsOf(CorrelationText(), {event});
  const auto& core = hits[0].second.hits(0).event();
  EXPECT_EQ(core.dst().port(), 443U);
  EXPECT_EQ(core.dst().ip(), event.dst().ip());
  EXPECT_EQ(core.rule(), "21");
  EXPECT_EQ(core.signature(), "Shellshock");
  EXPECT_EQ(core.protocol(), "tcp");
  EXPECT_EQ(core.device(), "fw-1");
  EXPECT_EQ(core.action(), event::v1::DETECTED);
  EXPECT_TRUE(core.fields().empty());
  EXPECT_TRUE(core.raw().empty());
  EXPECT_TRUE(core.message().empty());
}

TEST(Hits, WhatTheDeviceLetThroughCounts) {
  auto blocked = LoginAt(0, "a");
  blocked.set_action(event::v1::BLOCKED);
  auto passed = LoginAt(1, "a");
  passed.set_action(event::v1::ALLOWED);
  const auto hits = HitsOf(CorrelationText(), {blocked, passed, blocked});
  const auto& hit = hits[0].second.hits(0);
  EXPECT_EQ(hit.action(), event::v1::ALLOWED);
  EXPECT_EQ(hit.evidence(0).action(), event::v1::BLOCKED);
  EXPECT_EQ(hit.evidence(1).action(), event::v1::ALLOWED);
  // Of a single-event rule, what was stopped is another matter than what was not.
  const auto apart =
      HitsOf(RuleWith("  s:\n    what: login\n  condition: s"), {blocked, passed, blocked});
  ASSERT_THAT(apart[0].second.hits(), SizeIs(2));
  EXPECT_THAT(apart[0].second.hits(0).times(), SizeIs(2));
}

TEST(Hits, EvidenceTellsTheSignatureAndTheGroupDoesNot) {
  auto event = LoginAt(0, "a");
  event.set_signature_id("51006");
  event.set_signature("Apache.Log4j");
  const auto hits = HitsOf(RuleWith("  s:\n    what: login\n  condition: s"), {event});
  EXPECT_EQ(hits[0].second.hits(0).evidence(0).signature(), "Apache.Log4j");
  EXPECT_THAT(MatchedNames(hits[0].second.hits(0).group()),
              ElementsAre("site=", "device=fw-1", "host=", "src.ip=10.0.0.1", "user="));
}

TEST(Hits, AnEventThatSeveralRulesMatchIsInTheBlockOnce) {
  const std::string by_name =
      "title: Other\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c003\nlogsource: {product: acme}\n"
      "detection: {s: {who: a}, condition: s}\n";
  const auto hits =
      RawHitsOf({CorrelationText(), by_name}, {LoginAt(0, "a"), LoginAt(1, "a"), LoginAt(2, "b")});
  ASSERT_THAT(hits, SizeIs(1));
  const auto& batch = hits[0].second;
  ASSERT_THAT(batch.hits(), SizeIs(3));
  EXPECT_THAT(batch.evidence().events(), SizeIs(3));
  EXPECT_THAT(batch.evidence().pieces(), SizeIs(5));
  for (const auto& hit : batch.hits()) {
    EXPECT_THAT(hit.evidence(), IsEmpty());
    for (const auto& ref : hit.pieces()) {
      const auto evidence = EvidenceAt(batch.evidence(), ref.piece());
      EXPECT_EQ(ref.bytes(), evidence.ByteSizeLong());
      EXPECT_EQ(ref.event(), EventDigest(evidence.event_id()));
      EXPECT_EQ(ref.time(), EvidenceTime(evidence));
    }
    const auto core = CoreAt(batch.evidence(), hit.first().piece());
    EXPECT_EQ(core.device(), "fw-1");
    EXPECT_EQ(hit.first().core_bytes(), core.ByteSizeLong());
  }
  EXPECT_THAT(MatchedNames(EvidenceAt(batch.evidence(), 0).matched_fields()),
              ElementsAre("what=login"));
  EXPECT_THAT(MatchedNames(EvidenceAt(batch.evidence(), 1).matched_fields()), ElementsAre("who=a"));
}

TEST(Hits, AClockAheadOfUsCountsAsNow) {
  auto event = LoginAt(0, "a");
  *event.mutable_event_time() = ToProto(TimePoint(std::chrono::seconds(9000)));
  const auto hits = HitsOf(CorrelationText(), {event});
  EXPECT_EQ(hits[0].second.hits(0).times(0), 1000LL * 1'000'000'000);
}

TEST(Hits, KeepsTheFirstTwentyPiecesOfEvidence) {
  std::vector<event::v1::Event> events;
  for (int i = 0; i < 30; ++i) events.push_back(LoginAt(i, "a"));
  const auto hits = HitsOf(CorrelationText(), events);
  EXPECT_THAT(hits[0].second.hits(0).times(), SizeIs(30));
  EXPECT_THAT(hits[0].second.hits(0).evidence(), SizeIs(20));
}

}  // namespace
}  // namespace yagura::detection
