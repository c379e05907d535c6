// Which events of a unit are told as altered, missing or inserted.
#include "services/archive/domain/unit_flaws.h"

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace yagura::archive {
namespace {

using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;
using Flaw = v1::EventFlaw;
using Ids = std::vector<std::string>;

// A unit as it was stored, and what somebody made of it.
class UnitFlawsTest : public ::testing::Test {
 protected:
  void Store(size_t count) {
    events_ = {};
    UnitDigest digest(kUnitScheme);
    for (size_t i = 0; i < count; ++i) {
      events_.ids.push_back(fmt::format("a-{}", i));
      events_.digests.push_back(EventDigest(fmt::format("event {}", i)));
      events_.stored.push_back(CheckOf(events_.digests.back()));
      digest.Add(events_.digests.back());
    }
    unit_.scheme = kUnitScheme;
    unit_.events = count;
    unit_.digest = digest.Finish();
  }
  size_t At(const std::string& id) const {
    const auto place = std::find(events_.ids.begin(), events_.ids.end(), id);
    EXPECT_NE(place, events_.ids.end()) << id;
    return static_cast<size_t>(place - events_.ids.begin());
  }
  void Alter(const std::string& id) { events_.digests[At(id)] = EventDigest("altered " + id); }
  void Delete(const std::string& id, size_t count = 1) {
    const auto at = static_cast<ptrdiff_t>(At(id));
    const auto end = at + static_cast<ptrdiff_t>(count);
    events_.ids.erase(events_.ids.begin() + at, events_.ids.begin() + end);
    events_.digests.erase(events_.digests.begin() + at, events_.digests.begin() + end);
  }
  // Before the event named.
  void Forge(const std::string& before, size_t count = 1) {
    const auto at = static_cast<ptrdiff_t>(At(before));
    for (size_t i = count; i > 0; --i) {
      const std::string id = fmt::format("x-{}-{}", before, i - 1);
      events_.ids.insert(events_.ids.begin() + at, id);
      events_.digests.insert(events_.digests.begin() + at, EventDigest(id));
    }
  }
  std::vector<Flaw> Flaws() const { return FlawsOf(unit_, events_); }
  static Ids IdsOf(const Flaw& flaw) { return {flaw.event_ids().begin(), flaw.event_ids().end()}; }
  // In words, to be compared at once.
  Ids Told() const {
    Ids told;
    for (const Flaw& flaw : Flaws()) {
      std::string line = Flaw::Kind_Name(flaw.kind());
      for (const std::string& id : flaw.event_ids()) line += " " + id;
      told.push_back(line);
    }
    return told;
  }

  EventUnit unit_;
  UnitEvents events_;
};

TEST_F(UnitFlawsTest, TwoPlacesOfAUnitAreToldApart) {
  Store(400);
  Delete("a-20");
  Forge("a-380");
  EXPECT_THAT(Told(), ElementsAre("EVENT_INSERTED x-a-380-0", "EVENT_MISSING a-19 a-21"));
  Store(400);
  Forge("a-20");
  Forge("a-380");
  EXPECT_THAT(Told(), ElementsAre("EVENT_INSERTED x-a-20-0 x-a-380-0"));
  Store(400);
  Forge("a-20");
  Alter("a-380");
  EXPECT_THAT(Told(), ElementsAre("EVENT_ALTERED a-380", "EVENT_INSERTED x-a-20-0"));
  Store(400);
  Alter("a-20");
  Delete("a-380");
  EXPECT_THAT(Told(), ElementsAre("EVENT_ALTERED a-20", "EVENT_MISSING a-379 a-381"));
  Store(400);
  Delete("a-20");
  Delete("a-380");
  EXPECT_THAT(Told(), ElementsAre("EVENT_MISSING a-19 a-21", "EVENT_MISSING a-379 a-381"));
}

TEST_F(UnitFlawsTest, EndsAndNeighboursAreToldAsPlacesBetweenAre) {
  Store(400);
  Delete("a-0");
  Delete("a-399");
  EXPECT_THAT(Told(), ElementsAre("EVENT_MISSING a-1", "EVENT_MISSING a-398"));
  EXPECT_THAT(Flaws()[0].detail(), HasSubstr("at the beginning"));
  EXPECT_THAT(Flaws()[1].detail(), HasSubstr("at the end"));
  Store(400);
  Delete("a-20");
  Forge("a-22");
  EXPECT_THAT(Told(), ElementsAre("EVENT_INSERTED x-a-22-0", "EVENT_MISSING a-19 a-21"));
  Store(400);
  Alter("a-20");
  Delete("a-21");
  EXPECT_THAT(Told(), ElementsAre("EVENT_ALTERED a-20", "EVENT_MISSING a-19 a-22"));
  Store(3);
  Delete("a-0", 3);
  EXPECT_THAT(Told(), ElementsAre("EVENT_MISSING"));
}

// Nobody can tell from checks which of the two it was.
TEST_F(UnitFlawsTest, AForgedEventBesideAnAlteredOneIsNamedWithIt) {
  Store(400);
  Alter("a-20");
  Forge("a-20");
  EXPECT_THAT(Told(), ElementsAre("EVENT_ALTERED x-a-20-0 a-20", "EVENT_INSERTED x-a-20-0 a-20"));
  EXPECT_THAT(Flaws()[0].detail(), StartsWith("1 of 400"));
  EXPECT_THAT(Flaws()[1].detail(), HasSubstr("some of these were altered"));
}

TEST_F(UnitFlawsTest, ALongForgedStretchDoesNotDrawOthersIn) {
  Store(2'000);
  Alter("a-10");
  Forge("a-100", 5'000);
  Delete("a-700", 600);
  Alter("a-1990");
  const auto flaws = Flaws();
  ASSERT_THAT(flaws, SizeIs(3));
  EXPECT_THAT(IdsOf(flaws[0]), ElementsAre("a-10", "a-1990"));
  EXPECT_THAT(flaws[1].detail(), StartsWith("5000 of"));
  EXPECT_THAT(IdsOf(flaws[1]), SizeIs(kMostFlawIds));
  EXPECT_THAT(IdsOf(flaws[1]), Each(StartsWith("x-")));
  EXPECT_THAT(IdsOf(flaws[2]), ElementsAre("a-699", "a-1300"));
  EXPECT_THAT(flaws[2].detail(), StartsWith("600 of 2000"));
}

// Of so many some checks are the same by chance: none may seem missing for that.
TEST_F(UnitFlawsTest, ALongAlteredStretchIsAltered) {
  for (const size_t count : {600U, 5'000U}) {
    Store(20'000);
    for (size_t i = 100; i < 100 + count; ++i) Alter(fmt::format("a-{}", i));
    Delete("a-50");
    Forge("a-19000");
    const auto flaws = Flaws();
    ASSERT_THAT(flaws, SizeIs(3)) << count;
    EXPECT_EQ(flaws[0].kind(), Flaw::EVENT_ALTERED);
    EXPECT_THAT(flaws[0].detail(), StartsWith(fmt::format("{} of 20000", count)));
    EXPECT_THAT(IdsOf(flaws[0]), SizeIs(kMostFlawIds));
    EXPECT_THAT(IdsOf(flaws[1]), ElementsAre("x-a-19000-0"));
    EXPECT_THAT(IdsOf(flaws[2]), ElementsAre("a-49", "a-51"));
  }
}

TEST_F(UnitFlawsTest, EverySecondOfManyIsNamed) {
  Store(10'000);
  for (size_t i = 0; i < 10'000; i += 2) Alter(fmt::format("a-{}", i));
  const auto flaws = Flaws();
  ASSERT_THAT(flaws, SizeIs(1));
  EXPECT_THAT(flaws[0].detail(), StartsWith("5000 of 10000"));
  EXPECT_THAT(IdsOf(flaws[0]), Contains("a-198"));
  EXPECT_THAT(IdsOf(flaws[0]), Not(Contains("a-197")));
}

TEST_F(UnitFlawsTest, WhereTooMuchDiffersNothingIsNamedThatMayBeAsItWas) {
  Store(10'000);
  for (size_t i = 1'001; i < 9'000; i += 2) Alter(fmt::format("a-{}", i));
  Forge("a-5000");
  Alter("a-9500");
  const auto flaws = Flaws();
  ASSERT_THAT(flaws, SizeIs(2));
  EXPECT_EQ(flaws[0].kind(), Flaw::EVENT_ALTERED);
  EXPECT_THAT(IdsOf(flaws[0]), ElementsAre("a-9500"));
  EXPECT_EQ(flaws[1].kind(), Flaw::EVENT_INSERTED);
  EXPECT_THAT(flaws[1].event_ids(), IsEmpty());
  EXPECT_THAT(flaws[1].detail(), HasSubstr("a-1000 and a-9000"));
  EXPECT_THAT(flaws[1].detail(), HasSubstr("8000 events are there where 7999 were stored"));
}

TEST_F(UnitFlawsTest, ManyPlacesWithoutEventsAreBounded) {
  Store(10'000);
  for (size_t i = 10; i < 9'000; i += 100) Delete(fmt::format("a-{}", i));
  const auto flaws = Flaws();
  ASSERT_THAT(flaws, SizeIs(21));
  EXPECT_THAT(IdsOf(flaws[19]), ElementsAre("a-1909", "a-1911"));
  EXPECT_THAT(flaws[20].event_ids(), IsEmpty());
  EXPECT_THAT(flaws[20].detail(), StartsWith("70 more of 10000"));
}

TEST_F(UnitFlawsTest, AnEventWithTheCheckOfBeforeIsToldOf) {
  Store(400);
  events_.digests[20][31] ^= 1;
  EXPECT_THAT(Told(), ElementsAre("EVENT_ALTERED"));
  Forge("a-380");
  EXPECT_THAT(Told(), ElementsAre("EVENT_ALTERED", "EVENT_INSERTED x-a-380-0"));
}

TEST_F(UnitFlawsTest, AnEventWithTheCheckOfTheOneBesideItIsNamedWithIt) {
  Store(400);
  Forge("a-20");
  events_.digests[20] = events_.digests[21];
  events_.digests[20][31] ^= 1;
  EXPECT_THAT(Told(), ElementsAre("EVENT_INSERTED x-a-20-0 a-20"));
  EXPECT_THAT(Flaws()[0].detail(), HasSubstr("do not tell 1 of those named"));
  Store(400);
  events_.stored[21] = events_.stored[20];
  Delete("a-21");
  EXPECT_THAT(Told(), ElementsAre("EVENT_MISSING a-19 a-22")) << "a-20 may be either";
}

TEST_F(UnitFlawsTest, AUnitWhoseChecksAloneChangedHasNoEventAtFault) {
  Store(400);
  events_.stored.clear();
  EXPECT_THAT(Told(), ElementsAre("UNIT_ALTERED"));
}

TEST_F(UnitFlawsTest, ManyChangesFarFromEachOtherAreAllNamed) {
  std::mt19937 random(7);  // NOLINT(cert-msc51-cpp,cert-msc32-c): the same each time
  for (int round = 0; round < 200; ++round) {
    Store(2'000);
    Ids altered;
    Ids inserted;
    Ids missing;
    for (size_t i = 5; i < 1'990; i += 5 + random() % 200) {
      const std::string id = fmt::format("a-{}", i);
      switch (random() % 3) {
        case 0:
          Alter(id);
          altered.push_back(id);
          break;
        case 1:
          Forge(id);
          inserted.push_back(fmt::format("x-{}-0", id));
          break;
        default:
          Delete(id);
          missing.push_back(fmt::format("a-{} a-{}", i - 1, i + 1));
      }
    }
    Ids told_missing;
    Ids told_altered;
    Ids told_inserted;
    for (const Flaw& flaw : Flaws()) {
      const Ids ids = IdsOf(flaw);
      if (flaw.kind() == Flaw::EVENT_MISSING && !ids.empty()) {
        ASSERT_THAT(ids, SizeIs(2));
        told_missing.push_back(ids[0] + " " + ids[1]);
      } else if (flaw.kind() != Flaw::EVENT_MISSING) {
        (flaw.kind() == Flaw::EVENT_ALTERED ? told_altered : told_inserted) = ids;
      }
    }
    missing.resize(std::min(missing.size(), size_t{20}));
    EXPECT_EQ(told_altered, altered) << round;
    EXPECT_EQ(told_inserted, inserted) << round;
    EXPECT_EQ(told_missing, missing) << round;
  }
}

}  // namespace
}  // namespace yagura::archive
