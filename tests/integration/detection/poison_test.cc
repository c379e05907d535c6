// One event that cannot be processed, in the middle of a batch: all others take effect, once.
#include <stdexcept>

#include "common/testing/eventually.h"
#include "services/detection/domain/packed.h"
#include "services/detection/storage/dead_letters.h"
#include "tests/integration/detection/pipeline_fixture.h"

namespace yagura::detection {
namespace {

using ::testing::ElementsAre;
using testing::Eventually;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

bool IsPoisoned(std::string_view raw) { return raw.find("poison") != std::string_view::npos; }

absl::StatusOr<Found> ChokeOnPoison(BatchMatcher& matcher, event::BatchReader& batch,
                                    const HitSource& source, const ShardOf& shard_of,
                                    std::chrono::nanoseconds fold) {
  for (size_t row = 0; row < batch.size(); ++row) {
    if (IsPoisoned(*batch.Raw(row))) throw std::length_error("the event chokes the matcher");
  }
  return FindHits(matcher, batch, source, shard_of, fold);
}

// Refuses findings with a poisoned event.
class ChokingSink final : public FindingSink {
 public:
  using FindingSink::FindingSink;
  absl::Status Put(const std::vector<Windows::Outcome>& outcomes) override {
    for (const auto& outcome : outcomes) {
      for (const auto& evidence : outcome.finding.evidence()) {
        if (IsPoisoned(evidence.raw())) return absl::InvalidArgumentError("the finding is refused");
      }
    }
    return FindingSink::Put(outcomes);
  }
};

class PoisonTest : public DetectionPipelineTest {
 protected:
  // Three batches; in the middle of the second an event about `who` that the rules also match.
  void ProduceWith(std::string_view what, std::string_view who) {
    stream::Producer producer(redis_.NewPool(), kEvents, {});
    for (int number = 0; number < 3; ++number) {
      const std::string id = fmt::format("batch{}", number);
      event::BatchBuilder builder({"acme", id, TimePoint(std::chrono::seconds(1'700'000'000))});
      for (int i = 0; i < 9; ++i) {
        const int second = number * 20 + i;
        if (number == 1 && i == 5) {
          builder.Add(MakeEvent(second, what, who));
        } else if (i == 7) {
          builder.Add(MakeEvent(second, "malware", fmt::format("d0-host{}", number)));
        } else {
          builder.Add(MakeEvent(second, "failed", "d0-user0"));
        }
      }
      ASSERT_THAT(producer.Append(0, id, builder.Finish()), IsOk());
    }
  }

  template <typename Worker>
  void RunWorker(const stream::Topic& topic, Worker& worker) {
    stream::Worker::Options options;
    options.reader = topic.readers[0];
    options.max_attempts = 2;
    options.split = [&worker](const auto& context, const auto& entry) {
      return worker.Split(context, entry);
    };
    stream::Worker reader(
        redis_.NewPool(), topic, options,
        [&worker](const auto& context, const auto& entries) {
          return worker.Handle(context, entries);
        },
        nullptr, Logger::Null());
    reader.Start();
    EXPECT_TRUE(Eventually([&reader] { return reader.Lag().value_or(1) == 0; }));
    reader.Stop();
  }
  void RunWorkers(Process& process) {
    RunWorker(kEvents, process.match);
    RunWorker(kHits, process.window);
  }

  // Killed after the pieces took effect and before the cursor moved.
  template <typename Worker>
  void SplitAndDie(const stream::Topic& topic, int shard, size_t entry, Worker& worker) {
    LeasedCursor cursor = Take(topic, shard);
    const auto entries = cursor.Read(100, 8 << 20, {});
    ASSERT_THAT(entries, IsOk());
    ASSERT_GT(entries->size(), entry);
    EXPECT_THAT(worker.Split({shard, cursor.epoch()}, (*entries)[entry]), IsOk());
    EXPECT_THAT(cursor.Release(), IsOk());
  }

  std::vector<DeadLetter> LettersOf(const stream::Topic& topic) {
    std::vector<DeadLetter> all;
    for (int shard = 0; shard < topic.shards; ++shard) {
      const auto letters = DeadLetters(redis_.NewPool()).Read(topic, shard, {});
      EXPECT_THAT(letters, IsOk());
      all.insert(all.end(), letters->begin(), letters->end());
    }
    return all;
  }

  std::set<std::string> Expected() {
    ProduceWith("fine", "nobody");
    RunUninterrupted();
    const auto expected = Findings();
    EXPECT_EQ(expected.size(), 4U);  // one of log-ins, three of malware
    Prepare();
    return expected;
  }
};

TEST_F(PoisonTest, AnEventThatCannotBeMatchedKeepsNoOtherFromTakingEffectOnce) {
  const auto expected = Expected();
  ProduceWith("malware", "poison");
  Process process(redis_.NewPool(), true, ChokeOnPoison);
  RunWorkers(process);
  EXPECT_EQ(Findings(), expected);
  for (const auto& [name, times] : Published()) EXPECT_EQ(times, 1) << name;
  const auto letters = LettersOf(kEvents);
  ASSERT_EQ(letters.size(), 1U);
  EXPECT_EQ(letters[0].key, "batch1-5");
  EXPECT_EQ(letters[0].reader, "detection");
  EXPECT_THAT(letters[0].error, HasSubstr("the event chokes the matcher"));
  auto kept = event::BatchReader::Open(letters[0].payload);
  ASSERT_THAT(kept, IsOk());
  ASSERT_EQ(kept->size(), 1U);
  EXPECT_THAT(std::string(*kept->Raw(0)), HasSubstr("who=poison"));
  EXPECT_THAT(LettersOf(kHits), IsEmpty());
}

TEST_F(PoisonTest, AKillBetweenTheOthersAndTheCursorChangesNothing) {
  const auto expected = Expected();
  ProduceWith("malware", "poison");
  {
    Process process(redis_.NewPool(), true, ChokeOnPoison);
    LeasedCursor cursor = Take(kEvents, 0);
    const auto entries = cursor.Read(1, 8 << 20, {});
    ASSERT_THAT(entries, IsOk());
    EXPECT_THAT(process.match.Handle({0, cursor.epoch()}, *entries), IsOk());
    EXPECT_THAT(cursor.Commit(entries->back().id), IsOk());
    EXPECT_THAT(cursor.Release(), IsOk());
    SplitAndDie(kEvents, 0, 0, process.match);
  }
  Process process(redis_.NewPool(), true, ChokeOnPoison);
  RunWorkers(process);
  EXPECT_EQ(Findings(), expected);
  for (const auto& [name, times] : Published()) EXPECT_EQ(times, 1) << name;
  EXPECT_EQ(LettersOf(kEvents).size(), 1U);
}

TEST_F(PoisonTest, ABatchOfNothingButPoisonIsPutAsideEventByEvent) {
  stream::Producer producer(redis_.NewPool(), kEvents, {});
  event::BatchBuilder builder({"acme", "b", TimePoint(std::chrono::seconds(1'700'000'000))});
  for (int i = 0; i < 3; ++i) builder.Add(MakeEvent(i, "malware", "poison"));
  ASSERT_THAT(producer.Append(0, "b", builder.Finish()), IsOk());
  ASSERT_THAT(producer.Append(0, "c", "no batch at all"), IsOk());
  Process process(redis_.NewPool(), true, ChokeOnPoison);
  RunWorkers(process);
  std::vector<std::string> keys;
  for (const auto& letter : LettersOf(kEvents)) keys.push_back(letter.key);
  EXPECT_THAT(keys, ElementsAre("b-0", "b-1", "b-2", "c"));
  EXPECT_THAT(Findings(), IsEmpty());
}

TEST_F(PoisonTest, AHitThatMakesNoFindingKeepsNoOtherFromTakingEffectOnce) {
  const auto expected = Expected();
  for (const bool killed : {false, true}) {
    SCOPED_TRACE(killed);
    Prepare();
    ProduceWith("malware", "poison");
    const auto sink = [this] {
      const auto pool = redis_.NewPool();
      return std::make_shared<ChokingSink>(
          store::Store<v1::Finding>(pool, FindingKind(), SystemClock()),
          std::make_shared<stream::Producer>(pool, kFindings, stream::Producer::Options{}));
    };
    Process process(redis_.NewPool(), true, FindHits, sink());
    RunWorker(kEvents, process.match);
    for (int shard = 0; killed && shard < kHits.shards; ++shard) {
      Process dying(redis_.NewPool(), true, FindHits, sink());
      SplitAndDie(kHits, shard, 0, dying.window);
    }
    RunWorker(kHits, process.window);
    EXPECT_EQ(Findings(), expected);
    for (const auto& [name, times] : Published()) EXPECT_EQ(times, 1) << name;
    EXPECT_THAT(LettersOf(kEvents), IsEmpty());
    const auto letters = LettersOf(kHits);
    ASSERT_EQ(letters.size(), 1U);
    EXPECT_EQ(letters[0].key, "batch1-5");
    internal::v1::HitBatch kept;
    ASSERT_THAT(Unpack(letters[0].payload, kept), IsOk());
    EXPECT_EQ(kept.hits_size(), 1);
    EXPECT_EQ(kept.rules_size(), 1);
    EXPECT_EQ(kept.tenant(), "acme");
  }
}

}  // namespace
}  // namespace yagura::detection
