// Investigations and reports from outside, over a real event store.
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "archive_fixture.h"
#include "common/clock/proto_time.h"
#include "common/event/event_view.h"
#include "common/eventstore/row_binary.h"
#include "common/testing/status_matchers.h"
#include "services/archive/api/investigation_handlers.h"
#include "services/archive/domain/coverage_table.h"
#include "services/archive/workers/range_inserter.h"
#include "yagura/ingestion/v1/coverage_report.pb.h"

namespace yagura::archive {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::IsOk;
using ::testing::Not;
using testing::StatusIs;
using ::testing::Truly;
using ::testing::UnorderedElementsAre;

std::string Ip(const std::string& text) {
  const auto address = event::IpAddress::Parse(text);
  return std::string(address->bytes());
}

event::v1::Event At(std::chrono::nanoseconds when) {
  event::v1::Event event;
  event.set_tenant("acme");
  event.set_site("tokyo");
  event.set_device("fw1");
  event.set_product("fortinet.fortigate");
  *event.mutable_receive_time() = ToProto(BaseTime() + when);
  *event.mutable_event_time() = event.receive_time();
  return event;
}

// A session of `inside`:50000 through 203.0.113.5:`port` that ends at `end`.
event::v1::Event Session(const std::string& inside, uint32_t port, std::chrono::nanoseconds end,
                         seconds lasted, const std::string& peer = "198.51.100.7") {
  event::v1::Event event = At(end);
  event.set_category("traffic");
  event.set_action(event::v1::ALLOWED);
  event.mutable_src()->set_ip(Ip(inside));
  event.mutable_src()->set_port(50'000);
  event.mutable_src()->set_translated_ip(Ip("203.0.113.5"));
  event.mutable_src()->set_translated_port(port);
  event.mutable_dst()->set_ip(Ip(peer));
  event.mutable_dst()->set_port(443);
  event.set_protocol("tcp");
  event.set_bytes_out(1000);
  *event.mutable_duration() = ToProtoDuration(lasted);
  event.set_raw("session");
  return event;
}

event::v1::Event Lease(const std::string& address, const std::string& mac, const std::string& host,
                       std::chrono::nanoseconds when, const std::string& kind = "DHCPACK") {
  event::v1::Event event = At(when);
  event.set_product("isc.dhcpd");
  event.set_category("dhcp");
  event.set_vendor_event_id(kind);
  event.mutable_src()->set_ip(Ip(address));
  event.mutable_src()->set_mac(mac);
  event.mutable_src()->set_host(host);
  event.set_raw(kind);
  return event;
}

class InvestigationTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    archive_ = new Archive;
    event::BatchBuilder builder({"acme", "a", BaseTime()});
    for (const auto& event :
         {Lease("10.9.9.9", "aa:aa:aa:aa:aa:09", "pc9", hours(1)),
          Lease("10.9.9.9", "aa:aa:aa:aa:aa:77", "", hours(2), "DHCPNAK"),
          Session("10.9.9.9", 40'001, hours(5), seconds(600)),
          Session("10.9.9.8", 40'001, hours(6), seconds(30)),
          Session("10.9.9.9", 40'002, hours(6) + minutes(10), seconds(1), "192.0.2.99"),
          Session("10.9.9.9", 40'003, hours(6) + minutes(10), seconds(1), "10.1.1.1")}) {
      builder.Add(event);
    }
    builder.Add(Lease("10.9.7.7", "aa:aa:aa:aa:aa:07", "pc7", hours(1)));
    event::v1::Event routed = Session("10.9.7.7", 41'000, hours(3), seconds(1));
    routed.mutable_src()->set_mac("bb:bb:bb:bb:bb:01");
    builder.Add(routed);
    event::v1::Event attack = At(hours(6) + minutes(11));
    attack.set_signature("Evil.C2");
    attack.set_severity(event::v1::CRITICAL);
    attack.set_action(event::v1::BLOCKED);
    attack.mutable_src()->set_ip(Ip("10.9.9.9"));
    attack.set_user("taro");
    attack.set_raw("found 44d88612fea8a8f36de82e1278abb02f in a file");
    builder.Add(attack);
    event::v1::Event published = At(hours(7));
    published.mutable_src()->set_ip(Ip("198.51.100.50"));
    published.mutable_dst()->set_ip(Ip("203.0.113.80"));
    published.mutable_dst()->set_port(443);
    published.mutable_dst()->set_translated_ip(Ip("10.0.0.80"));
    published.mutable_dst()->set_translated_port(8443);
    builder.Add(published);
    AddSpellings(&builder);
    AddLateEvents(&builder);
    const RangeInserter inserter(archive_->client, archive_->table, archive_->retention);
    RangeData range;
    range.plan.set_token("fixture");
    range.entries.push_back({{1, 0}, "a", builder.Finish()});
    ASSERT_THAT(inserter.Insert(range), IsOk());
  }
  // One user and one host as sources spell them, and others that are alike.
  static void AddSpellings(event::BatchBuilder* builder) {
    for (const char* user : {"CORP\\Alice", "alice@corp.example", "ALICE", "malice", "alice2"}) {
      event::v1::Event event = At(hours(6));
      event.set_user(user);
      event.set_raw("log on");
      builder->Add(event);
    }
    for (const char* host : {"SRV1", "srv1.corp.example", "srv1.other.example", "srv10"}) {
      event::v1::Event event = At(hours(6));
      event.mutable_src()->set_host(host);
      event.set_raw("hello");
      builder->Add(event);
    }
  }
  // Of 06:05, delivered two days later: the relay had no way out.
  static void AddLateEvents(event::BatchBuilder* builder) {
    event::v1::Event late = Session("10.9.6.6", 46'000, hours(6) + minutes(5), seconds(60));
    late.mutable_src()->set_mac("cc:cc:cc:cc:cc:06");
    *late.mutable_receive_time() = ToProto(BaseTime() + hours(54));
    builder->Add(late);
  }
  static void TearDownTestSuite() {
    delete archive_;
    archive_ = nullptr;
  }

  static v1::TraceEndpointRequest Report(uint32_t port, std::chrono::nanoseconds when) {
    v1::TraceEndpointRequest request;
    request.set_parent("tenants/acme");
    request.set_address("203.0.113.5");
    request.set_port(port);
    *request.mutable_time() = ToProto(BaseTime() + when);
    return request;
  }
  static v1::InvestigateEntityRequest About(const std::string& entity) {
    v1::InvestigateEntityRequest request;
    request.set_parent("tenants/acme");
    request.set_entity(entity);
    *request.mutable_time() = ToProto(BaseTime() + hours(6));
    request.mutable_before()->set_seconds(1800);
    request.mutable_after()->set_seconds(3600);
    return request;
  }

  static Archive* archive_;
  const rpc::Call acme_ = MakeCall("acme", {"acme"});
  const QueryRunner runner_{archive_->client, SystemClock(), {}};
  const InvestigationHandlers handlers_{runner_, archive_->table};
};
Archive* InvestigationTest::archive_ = nullptr;

TEST_F(InvestigationTest, AReportFromOutsideLeadsThroughTranslationAndLeaseToTheMachine) {
  // In the middle of a session that was told of at its end.
  ASSERT_OK_AND_ASSIGN(const auto response,
                       handlers_.TraceEndpoint(acme_, Report(40'001, hours(5) - minutes(7))));
  ASSERT_EQ(response.candidates_size(), 1);
  const auto& candidate = response.candidates(0);
  EXPECT_EQ(candidate.inside_ip(), Ip("10.9.9.9"));
  EXPECT_EQ(candidate.inside_port(), 50'000u);
  EXPECT_TRUE(candidate.translated());
  EXPECT_FALSE(candidate.incoming());
  EXPECT_EQ(FromProto(candidate.distance()).count(), 0);
  EXPECT_EQ(FromProto(candidate.start_time()), BaseTime() + hours(5) - seconds(600));
  ASSERT_EQ(candidate.terminals_size(), 1) << "what the DHCP server refused is no lease";
  EXPECT_EQ(candidate.terminals(0).mac(), "aa:aa:aa:aa:aa:09");
  EXPECT_EQ(candidate.terminals(0).host(), "pc9");
  EXPECT_EQ(candidate.terminals(0).lease_count(), 1u);
  EXPECT_FALSE(candidate.event_id().empty());
  EXPECT_GT(response.hours_in_range(), 1u);
  EXPECT_GT(response.coverage_size(), 0) << "ingestion counted nothing: the events tell who sent";
  EXPECT_THAT(response.remarks(), Contains(HasSubstr("has not been told")));
}

TEST_F(InvestigationTest, ALeaseSaysMoreThanTheAddressOfARouter) {
  ASSERT_OK_AND_ASSIGN(const auto response,
                       handlers_.TraceEndpoint(acme_, Report(41'000, hours(3))));
  ASSERT_EQ(response.candidates_size(), 1);
  ASSERT_EQ(response.candidates(0).terminals_size(), 2);
  EXPECT_EQ(response.candidates(0).terminals(0).mac(), "aa:aa:aa:aa:aa:07");
  EXPECT_EQ(response.candidates(0).terminals(1).mac(), "bb:bb:bb:bb:bb:01");
  EXPECT_THAT(response.remarks(), Contains(HasSubstr("leases before others")));
}

TEST_F(InvestigationTest, AClockThatMayBeWrongGivesAllCandidatesTheNearestFirst) {
  auto request = Report(40'001, hours(6) + minutes(2));
  ASSERT_OK_AND_ASSIGN(const auto near, handlers_.TraceEndpoint(acme_, request));
  ASSERT_EQ(near.candidates_size(), 1);
  EXPECT_EQ(near.candidates(0).inside_ip(), Ip("10.9.9.8"));
  EXPECT_THAT(near.remarks(), Contains(HasSubstr("no session covers the reported time")));
  EXPECT_THAT(near.remarks(), Contains(HasSubstr("no event of the 7 days before tells")));
  request.mutable_clock_tolerance()->set_seconds(2 * 3600);
  ASSERT_OK_AND_ASSIGN(const auto wide, handlers_.TraceEndpoint(acme_, request));
  ASSERT_EQ(wide.candidates_size(), 2);
  EXPECT_EQ(wide.candidates(0).inside_ip(), Ip("10.9.9.8"));
  EXPECT_EQ(wide.candidates(1).inside_ip(), Ip("10.9.9.9"));
  EXPECT_THAT(wide.remarks(), Contains(HasSubstr("2 inside addresses had the endpoint")));
  request.set_peer_address("192.0.2.99");
  request.set_port(0);
  ASSERT_OK_AND_ASSIGN(const auto by_peer, handlers_.TraceEndpoint(acme_, request));
  ASSERT_EQ(by_peer.candidates_size(), 1);
  EXPECT_THAT(by_peer.remarks(), Contains(HasSubstr("without a port")));
}

TEST_F(InvestigationTest, APublishedServerIsFoundFromOutside) {
  auto request = Report(443, hours(7));
  request.set_address("203.0.113.80");
  ASSERT_OK_AND_ASSIGN(const auto response, handlers_.TraceEndpoint(acme_, request));
  ASSERT_EQ(response.candidates_size(), 1);
  EXPECT_TRUE(response.candidates(0).incoming());
  EXPECT_EQ(response.candidates(0).inside_ip(), Ip("10.0.0.80"));
  EXPECT_EQ(response.candidates(0).inside_port(), 8443u);
}

TEST_F(InvestigationTest, WhatNobodySawIsSaid) {
  ASSERT_OK_AND_ASSIGN(const auto response, handlers_.TraceEndpoint(acme_, Report(1, hours(-100))));
  EXPECT_THAT(response.candidates(), IsEmpty());
  EXPECT_THAT(response.remarks(), Contains(HasSubstr("no event that was received names")));
  EXPECT_THAT(response.remarks(), Contains(HasSubstr("no source sent anything")));
  ASSERT_OK_AND_ASSIGN(const auto foreign, handlers_.TraceEndpoint(MakeCall("beta", {"beta"}),
                                                                   Report(40'001, hours(5))));
  EXPECT_THAT(foreign.candidates(), IsEmpty());
}

TEST_F(InvestigationTest, AnAddressHasItsTimelinePeersAndFacts) {
  ASSERT_OK_AND_ASSIGN(const auto response, handlers_.InvestigateEntity(acme_, About("10.9.9.9")));
  EXPECT_EQ(response.type(), v1::INVESTIGATED_ADDRESS);
  EXPECT_EQ(response.event_count(), 3u);
  ASSERT_EQ(response.timeline_size(), 3);
  EXPECT_EQ(response.timeline(2).what(), "Evil.C2");
  EXPECT_EQ(response.timeline(2).severity(), event::v1::CRITICAL);
  ASSERT_EQ(response.peers_size(), 3) << "of the whole day";
  int outside = 0;
  for (const auto& peer : response.peers()) {
    EXPECT_TRUE(peer.outgoing());
    outside += peer.outside() ? 1 : 0;
    EXPECT_EQ(peer.is_new(),
              FromProto(peer.flow().first_time()) >= BaseTime() + hours(5) + minutes(30));
  }
  EXPECT_EQ(outside, 2);
  bool evil = false;
  for (const auto& fact : response.first_seen()) {
    if (fact.value() == "Evil.C2") evil = fact.is_new() && fact.kind() == "signature";
    if (fact.value() == "pc9") {
      EXPECT_FALSE(fact.is_new());
    }
  }
  EXPECT_TRUE(evil);
  EXPECT_GT(response.coverage_size(), 0);
}

TEST_F(InvestigationTest, UsersHashesAndNamesAreKnownByTheirForm) {
  ASSERT_OK_AND_ASSIGN(const auto user, handlers_.InvestigateEntity(acme_, About("taro")));
  EXPECT_EQ(user.type(), v1::INVESTIGATED_NAME);
  EXPECT_EQ(user.event_count(), 1u);
  ASSERT_OK_AND_ASSIGN(const auto hash, handlers_.InvestigateEntity(
                                            acme_, About("44D88612FEA8A8F36DE82E1278ABB02F")));
  EXPECT_EQ(hash.type(), v1::INVESTIGATED_HASH);
  EXPECT_EQ(hash.event_count(), 1u);
  ASSERT_OK_AND_ASSIGN(const auto hostile,
                       handlers_.InvestigateEntity(acme_, About("x\" OR user:* OR user = \"")));
  EXPECT_EQ(hostile.event_count(), 0u);
  ASSERT_OK_AND_ASSIGN(const auto star, handlers_.InvestigateEntity(acme_, About("*")));
  EXPECT_EQ(star.event_count(), 0u);
  auto wrong = About("taro");
  wrong.set_type(v1::INVESTIGATED_ADDRESS);
  EXPECT_THAT(handlers_.InvestigateEntity(acme_, wrong),
              StatusIs(absl::StatusCode::kInvalidArgument));
  wrong = About("taro");
  wrong.mutable_before()->set_seconds(40LL * 24 * 3600);
  EXPECT_THAT(handlers_.InvestigateEntity(acme_, wrong),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(InvestigationTest, TakesNoNetworkAndSaysSo) {
  for (const char* network :
       {"10.0.1.0/24", "2001:db8::/32", "10.0.1.1-10.0.1.9", "１０.０.１.０/２４"}) {
    const auto response = handlers_.InvestigateEntity(acme_, About(network));
    EXPECT_THAT(response, StatusIs(absl::StatusCode::kInvalidArgument)) << network;
    EXPECT_THAT(std::string(Message(response.status())), HasSubstr("is a network")) << network;
  }
  EXPECT_THAT(handlers_.InvestigateEntity(acme_, About("srv-1/2")), IsOk());
}

TEST_F(InvestigationTest, ASubjectIsTheSameInFullWidth) {
  ASSERT_OK_AND_ASSIGN(const auto user, handlers_.InvestigateEntity(acme_, About("ａｌｉｃｅ")));
  EXPECT_EQ(user.event_count(), 3u);
  EXPECT_THAT(user.names(), UnorderedElementsAre("CORP\\Alice", "alice@corp.example", "ALICE"));
  ASSERT_OK_AND_ASSIGN(const auto host, handlers_.InvestigateEntity(acme_, About("ＳＲＶ１")));
  EXPECT_EQ(host.event_count(), 3u);
}

TEST_F(InvestigationTest, AUserIsOneHoweverSourcesSpellTheAccount) {
  for (const char* spelling : {"alice", "CORP\\Alice", "Alice@Corp.Example", "other\\ALICE"}) {
    auto request = About(spelling);
    request.set_type(v1::INVESTIGATED_USER);
    ASSERT_OK_AND_ASSIGN(const auto response, handlers_.InvestigateEntity(acme_, request));
    EXPECT_EQ(response.event_count(), 3u) << spelling;
    EXPECT_THAT(response.names(),
                UnorderedElementsAre("CORP\\Alice", "alice@corp.example", "ALICE"));
    EXPECT_THAT(response.remarks(), Contains(HasSubstr("taken for one")));
  }
  ASSERT_OK_AND_ASSIGN(const auto name, handlers_.InvestigateEntity(acme_, About("CORP\\alice")));
  EXPECT_EQ(name.event_count(), 3u);
}

TEST_F(InvestigationTest, AHostIsOneInAnyCaseByItsShortAndItsFullName) {
  const auto events = [&](const std::string& host) {
    auto request = About(host);
    request.set_type(v1::INVESTIGATED_HOST);
    const auto response = handlers_.InvestigateEntity(acme_, request);
    EXPECT_THAT(response, IsOk());
    return response.ok() ? response->event_count() : 0;
  };
  EXPECT_EQ(events("srv1"), 3u);
  EXPECT_EQ(events("SRV1.Corp.Example"), 2u) << "not that of another domain";
  EXPECT_EQ(events("srv1.corp.example."), 2u);
  EXPECT_EQ(events("srv"), 0u);
}

TEST_F(InvestigationTest, WhatWasDeliveredLateIsFoundByWhenItHappened) {
  ASSERT_OK_AND_ASSIGN(const auto response, handlers_.InvestigateEntity(acme_, About("10.9.6.6")));
  EXPECT_EQ(response.event_count(), 1u);
  ASSERT_EQ(response.peers_size(), 1);
  EXPECT_EQ(response.peers(0).flow().dst_ip(), Ip("198.51.100.7"));
  ASSERT_OK_AND_ASSIGN(const auto trace,
                       handlers_.TraceEndpoint(acme_, Report(46'000, hours(6) + minutes(5))));
  ASSERT_EQ(trace.candidates_size(), 1);
  EXPECT_EQ(trace.candidates(0).inside_ip(), Ip("10.9.6.6"));
  ASSERT_EQ(trace.candidates(0).terminals_size(), 1);
  EXPECT_EQ(trace.candidates(0).terminals(0).mac(), "cc:cc:cc:cc:cc:06");
}

TEST_F(InvestigationTest, ATranslatedAddressHasPeers) {
  auto request = About("203.0.113.5");
  request.mutable_before()->set_seconds(4 * 3600);
  ASSERT_OK_AND_ASSIGN(const auto response, handlers_.InvestigateEntity(acme_, request));
  EXPECT_THAT(response.peers(), Contains(Truly([](const v1::Peer& peer) {
                return peer.flow().src_ip() == Ip("10.9.9.9") &&
                       peer.flow().dst_ip() == Ip("198.51.100.7") && peer.outgoing() &&
                       peer.outside() && !peer.is_new();
              })));
  request = About("10.0.0.80");
  request.mutable_after()->set_seconds(2 * 3600);
  ASSERT_OK_AND_ASSIGN(const auto published, handlers_.InvestigateEntity(acme_, request));
  ASSERT_EQ(published.peers_size(), 1);
  EXPECT_EQ(published.peers(0).flow().src_ip(), Ip("198.51.100.50"));
  EXPECT_FALSE(published.peers(0).outgoing());
  EXPECT_TRUE(published.peers(0).outside());
}

TEST_F(InvestigationTest, SinceWhenFlowsAreKnownIsSaid) {
  ASSERT_OK_AND_ASSIGN(const auto response, handlers_.InvestigateEntity(acme_, About("10.9.9.9")));
  EXPECT_EQ(FromProto(response.flows_known_since()), BaseTime() + hours(3));
  EXPECT_THAT(response.remarks(), Contains(HasSubstr("flows are known since")));
  auto request = About("10.9.9.9");
  request.mutable_before()->set_seconds(6 * 3600);
  ASSERT_OK_AND_ASSIGN(const auto all, handlers_.InvestigateEntity(acme_, request));
  EXPECT_THAT(all.remarks(), Contains(HasSubstr("which peers are new cannot be said")));
  for (const auto& peer : all.peers()) EXPECT_FALSE(peer.is_new());
}

TEST_F(InvestigationTest, HowFarBackTheLogsReachIsSaid) {
  ASSERT_OK_AND_ASSIGN(const auto response, handlers_.InvestigateEntity(acme_, About("10.9.9.9")));
  EXPECT_GE(FromProto(response.events_known_since()), BaseTime());
  EXPECT_LT(FromProto(response.events_known_since()), BaseTime() + hours(5));
  EXPECT_THAT(response.remarks(), Contains(HasSubstr("what is new is so since then")));
  auto request = About("10.9.9.9");
  request.mutable_before()->set_seconds(12 * 3600);
  ASSERT_OK_AND_ASSIGN(const auto all, handlers_.InvestigateEntity(acme_, request));
  EXPECT_THAT(all.remarks(), Contains(HasSubstr("what is new in the range cannot be said")));
  EXPECT_GT(all.first_seen_size(), 0);
  for (const auto& fact : all.first_seen()) EXPECT_FALSE(fact.is_new()) << fact.value();
  // Of several tenants, what the first of them has.
  ASSERT_OK_AND_ASSIGN(const auto staff,
                       handlers_.InvestigateEntity(MakeCall("-", {"acme", "other"}), request));
  EXPECT_EQ(FromProto(staff.events_known_since()), FromProto(all.events_known_since()));
  ASSERT_OK_AND_ASSIGN(const auto nobody,
                       handlers_.InvestigateEntity(MakeCall("-", {"other", "another"}), request));
  EXPECT_FALSE(nobody.has_events_known_since());
  // 30 days and more of logs: nothing to add.
  *request.mutable_time() = ToProto(BaseTime() + hours(30 * 24 + 18));
  ASSERT_OK_AND_ASSIGN(const auto later, handlers_.InvestigateEntity(acme_, request));
  EXPECT_THAT(later.remarks(), Not(Contains(HasSubstr("logs reach back"))));
  EXPECT_EQ(FromProto(later.events_known_since()), BaseTime() + hours(6));
}

TEST_F(InvestigationTest, HowFarBackIsFoundWithoutReadingAllThatThereIs) {
  constexpr int kEvents = 200'000;
  constexpr int kBatch = 5'000;
  constexpr char kMany[] = "many";
  const RangeInserter inserter(archive_->client, archive_->table, archive_->retention);
  RangeData range;
  range.plan.set_token("many");
  for (int first = 0; first < kEvents; first += kBatch) {
    const std::string id = fmt::format("m{}", first);
    range.entries.push_back(
        {{static_cast<uint64_t>(first) + 1, 0}, id, MakeBatch(kMany, id, first, kBatch)});
  }
  ASSERT_THAT(inserter.Insert(range).status(), IsOk());
  const auto answer = [](eventstore::Query query) {
    query.settings["max_bytes_to_read"] = "500000";  // of times of receipt alone there are 1.6 MB
    return archive_->client->Select(query);
  };
  const auth::TenantSet many{.all = false, .tenants = {kMany}};
  const TimeWindow all{BaseTime() - hours(24), BaseTime() + hours(24)};
  ASSERT_OK_AND_ASSIGN(const auto since, answer(InvestigationQueries::EventsKnownSince(many, all)));
  ASSERT_EQ(since.rows.size(), 1u);
  EXPECT_EQ(since.rows[0].at(0).AsTime(), BaseTime());
  ASSERT_OK_AND_ASSIGN(const auto any, answer(InvestigationQueries::AnyEvent(many, all)));
  EXPECT_EQ(any.rows.size(), 1u);
}

TEST_F(InvestigationTest, TheAnswerSaysOnWhatCoverageItStands) {
  ingestion::v1::CoverageReport report;
  report.set_instance("fixture");
  report.set_sequence(1);
  const int64_t at = std::chrono::floor<hours>(BaseTime() + hours(6)).time_since_epoch() / hours(1);
  for (int64_t hour = at - 1; hour <= at + 2; ++hour) {
    auto* source = report.add_hours();
    source->set_source("tenants/covered/sources/fw1");
    source->set_hour(hour);
    source->set_watched_minutes(hour == at ? 0xff : ~uint64_t{0} >> 4);
    if (hour != at + 1) source->set_lines(100);
    if (hour != at + 1) source->set_minutes(source->watched_minutes());
    if (hour == at) source->set_lost(7);
    if (hour == at) source->set_clock_errors(3);
  }
  eventstore::RowBinaryWriter rows;
  ASSERT_EQ(EncodeCoverage(report, &rows), 4u);
  ASSERT_THAT(
      archive_->client->Insert({.sql = std::string(kInsertCoverage)}, std::string(rows.bytes())),
      IsOk());
  const rpc::Call call = MakeCall("covered", {"covered"});
  auto request = About("192.0.2.1");
  request.set_parent("tenants/covered");
  ASSERT_OK_AND_ASSIGN(const auto response, handlers_.InvestigateEntity(call, request));
  ASSERT_EQ(response.sources_size(), 1);
  EXPECT_EQ(response.sources(0).lost_count(), 7u);
  EXPECT_EQ(response.sources(0).silent_hours(), 0u) << "up to 07:00 alone";
  EXPECT_EQ(response.coverage_summary().lost_count(), 7u);
  EXPECT_EQ(response.coverage_size(), 0);
  EXPECT_THAT(response.remarks(), Contains(HasSubstr("7 lines were lost")));
  EXPECT_THAT(response.remarks(),
              Contains(HasSubstr("nobody listened to 1 of 1 sources for up to")));
  EXPECT_THAT(response.remarks(), Contains(HasSubstr("3 lines have a wrong clock")));
  ASSERT_OK_AND_ASSIGN(const auto trace, handlers_.TraceEndpoint(call, Report(1, hours(7))));
  EXPECT_EQ(trace.sources_size(), 1);
  EXPECT_THAT(trace.remarks(), Contains(HasSubstr("sent nothing for a whole hour")));
}

TEST_F(InvestigationTest, WhatCameJustNowIsToldOfAsNotCountedYet) {
  const TimePoint now = SystemClock()->Now();
  const auto insert = [](const std::string& id, TimePoint received) {
    event::v1::Event event = Session("10.9.9.9", 40'001, hours(0), seconds(1));
    *event.mutable_receive_time() = ToProto(received);
    *event.mutable_event_time() = ToProto(received);
    event::BatchBuilder builder({"fresh", id, received});
    builder.Add(event);
    RangeData range;
    range.plan.set_token(id);
    range.entries.push_back({{1, 0}, id, builder.Finish()});
    const RangeInserter inserter(archive_->client, archive_->table, archive_->retention);
    ASSERT_THAT(inserter.Insert(range).status(), IsOk());
  };
  v1::InvestigateEntityRequest request;
  request.set_parent("tenants/fresh");
  request.set_entity("10.9.9.9");
  const rpc::Call call = MakeCall("fresh", {"fresh"});
  ASSERT_OK_AND_ASSIGN(const auto nothing, handlers_.InvestigateEntity(call, request));
  EXPECT_THAT(nothing.remarks(), Contains(HasSubstr("no source sent anything")));
  insert("now", now - seconds(5));
  ASSERT_OK_AND_ASSIGN(const auto fresh, handlers_.InvestigateEntity(call, request));
  EXPECT_EQ(fresh.coverage_size(), 1);
  EXPECT_THAT(fresh.remarks(), Contains(HasSubstr("has not been told so far")));
  EXPECT_THAT(fresh.remarks(), Not(Contains(HasSubstr("a release that did not count"))));
  // What came an hour ago would have been told.
  insert("before", now - hours(1));
  ASSERT_OK_AND_ASSIGN(const auto old, handlers_.InvestigateEntity(call, request));
  EXPECT_THAT(old.remarks(), Contains(HasSubstr("a release that did not count")));
  EXPECT_THAT(old.remarks(), Not(Contains(HasSubstr("so far"))));
}

TEST_F(InvestigationTest, WhatDoesNotFitIsCounted) {
  auto request = About("10.9.9.9");
  request.set_timeline_size(1);
  ASSERT_OK_AND_ASSIGN(const auto response, handlers_.InvestigateEntity(acme_, request));
  ASSERT_EQ(response.timeline_size(), 1);
  EXPECT_EQ(response.timeline(0).what(), "Evil.C2") << "the gravest first";
  EXPECT_EQ(response.events_left_out(), 2u);
  EXPECT_THAT(response.remarks(), Contains(HasSubstr("2 of 3 events")));
}

TEST(IsPublic, KnowsWhatIsRoutedInTheInternet) {
  for (const char* text : {"8.8.8.8", "198.51.100.1", "172.32.0.1", "100.128.0.1", "2001:db8::1"}) {
    EXPECT_TRUE(IsPublic(Ip(text))) << text;
  }
  for (const char* text :
       {"10.1.2.3", "172.31.255.255", "192.168.0.1", "100.64.0.1", "127.0.0.1", "169.254.1.1",
        "224.0.0.1", "255.255.255.255", "0.0.0.0", "fe80::1", "fd00::1", "ff02::1", "::1"}) {
    EXPECT_FALSE(IsPublic(Ip(text))) << text;
  }
  EXPECT_FALSE(IsPublic(""));
}

}  // namespace
}  // namespace yagura::archive
