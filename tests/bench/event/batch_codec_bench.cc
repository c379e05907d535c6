// Which encoding for batches of events? Protobuf per event beside columns with a dictionary each,
// plain, with lz4 and with zstd -1, on FortiGate lines of our generator and on recorded Windows
// events (where the shared data is present). Bytes a second are those of the raw lines. The counter
// "ratio" is raw bytes / batch bytes. Results: docs/adr/0001-batch-codec.md.
#include <benchmark/benchmark.h>
#include <lz4.h>
#include <zstd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "common/event/batch_codec.h"
#include "common/event/event_view.h"
#include "common/testing/fortigate_lines.h"
#include "common/text/text.h"
#include "services/ingestion/domain/line_pipeline.h"
#include "yagura/event/v1/event.pb.h"

namespace {

using yagura::event::BatchBuilder;
using yagura::event::BatchReader;
using yagura::event::Core;
using Compression = BatchBuilder::Compression;
namespace v1 = yagura::event::v1;

constexpr size_t kBatchBytes = 64 * 1024;
constexpr size_t kCorpusBytes = 8 << 20;

using Batch = std::vector<v1::Event>;

struct Corpus {
  std::vector<Batch> batches;
  size_t raw_bytes = 0;
  size_t events = 0;
};

Corpus Parse(const std::vector<std::string>& lines) {
  Corpus corpus;
  yagura::ingestion::LinePipeline pipeline;
  yagura::ingestion::LineContext context;
  context.receive_time = yagura::TimePoint(std::chrono::seconds(1'790'000'000));
  context.origin = "192.0.2.1";
  size_t batch_bytes = kBatchBytes;
  for (const std::string& line : lines) {
    if (batch_bytes + line.size() > kBatchBytes) {
      corpus.batches.emplace_back();
      batch_bytes = 0;
    }
    yagura::event::ToProto(pipeline.Process(line, context).event,
                           &corpus.batches.back().emplace_back());
    batch_bytes += line.size();
    corpus.raw_bytes += line.size();
    ++corpus.events;
  }
  return corpus;
}

const Corpus& Firewall() {
  static const Corpus kCorpus = [] {
    std::vector<std::string> lines;
    yagura::testing::FortigateLines source;
    for (size_t bytes = 0; bytes < kCorpusBytes; bytes += lines.back().size()) {
      lines.push_back(source.Next());
    }
    return Parse(lines);
  }();
  return kCorpus;
}

std::filesystem::path DataFolder() {
  if (const char* data = std::getenv("YAGURA_DATA")) return data;
  if (const char* source = std::getenv("YAGURA_SOURCE_DIR")) {
    return std::filesystem::path(source) / "../shared/data";
  }
  return "../shared/data";
}

std::string DecompressFile(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::stringstream stored;
  stored << in.rdbuf();
  const std::string bytes = stored.str();
  std::string plain(64 << 20, '\0');
  ZSTD_DStream* stream = ZSTD_createDStream();
  ZSTD_inBuffer input{bytes.data(), bytes.size(), 0};
  ZSTD_outBuffer output{plain.data(), plain.size(), 0};
  while (input.pos < input.size && output.pos < output.size) {
    if (ZSTD_isError(ZSTD_decompressStream(stream, &output, &input))) break;
  }
  ZSTD_freeDStream(stream);
  plain.resize(output.pos);
  return plain;
}

const Corpus& Windows() {
  static const Corpus kCorpus = [] {
    std::vector<std::string> lines;
    size_t bytes = 0;
    std::error_code error;
    for (const auto& entry :
         std::filesystem::directory_iterator(DataFolder() / "windows-events", error)) {
      if (entry.path().extension() != ".zst" || bytes > kCorpusBytes) continue;
      const std::string text = DecompressFile(entry.path());
      for (const std::string_view line : yagura::Split(text, '\n')) {
        if (line.empty() || bytes > kCorpusBytes) continue;
        lines.emplace_back(line);
        bytes += line.size();
      }
    }
    return Parse(lines);
  }();
  return kCorpus;
}

std::string Compress(const std::string& plain, Compression compression) {
  std::string out;
  if (compression == Compression::kLz4) {
    out.resize(static_cast<size_t>(LZ4_compressBound(static_cast<int>(plain.size()))));
    out.resize(static_cast<size_t>(LZ4_compress_default(
        plain.data(), out.data(), static_cast<int>(plain.size()), static_cast<int>(out.size()))));
  } else if (compression == Compression::kZstd) {
    out.resize(ZSTD_compressBound(plain.size()));
    out.resize(ZSTD_compress(out.data(), out.size(), plain.data(), plain.size(), 1));
  } else {
    out = plain;
  }
  return out;
}

std::string Decompress(const std::string& stored, size_t plain_size, Compression compression) {
  std::string out(plain_size, '\0');
  if (compression == Compression::kLz4) {
    LZ4_decompress_safe(stored.data(), out.data(), static_cast<int>(stored.size()),
                        static_cast<int>(out.size()));
  } else if (compression == Compression::kZstd) {
    ZSTD_decompress(out.data(), out.size(), stored.data(), stored.size());
  } else {
    out = stored;
  }
  return out;
}

// Length-prefixed protobuf messages, one an event.
struct Protobuf {
  struct Stored {
    std::string bytes;
    size_t plain_size;
  };
  static Stored Encode(const Batch& batch, Compression compression) {
    std::string plain;
    for (const v1::Event& event : batch) {
      const auto size = static_cast<uint32_t>(event.ByteSizeLong());
      plain.append(reinterpret_cast<const char*>(&size), sizeof size);
      event.AppendToString(&plain);
    }
    return {Compress(plain, compression), plain.size()};
  }
  template <typename Visit>
  static void ForEach(const Stored& stored, Compression compression, const Visit& visit) {
    const std::string plain = Decompress(stored.bytes, stored.plain_size, compression);
    v1::Event event;
    for (size_t at = 0; at < plain.size();) {
      uint32_t size = 0;
      plain.copy(reinterpret_cast<char*>(&size), sizeof size, at);
      event.ParseFromArray(plain.data() + at + sizeof size, static_cast<int>(size));
      visit(event);
      at += sizeof size + size;
    }
  }
  static void DecodeAll(const Stored& stored, Compression compression) {
    ForEach(stored, compression, [](const v1::Event& event) { benchmark::DoNotOptimize(&event); });
  }
  static uint64_t DecodeTwo(const Stored& stored, Compression compression) {
    uint64_t sum = 0;
    ForEach(stored, compression, [&](const v1::Event& event) {
      sum += event.dst().port() + event.vendor_event_id().size();
    });
    return sum;
  }
};

// common/event's batch.
struct Columnar {
  struct Stored {
    std::string bytes;
  };
  static Stored Encode(const Batch& batch, Compression compression) {
    static BatchBuilder* const kBuilder = new BatchBuilder({"acme", "batch", {}});
    for (const v1::Event& event : batch) kBuilder->Add(event);
    return {kBuilder->Finish(compression)};
  }
  static void DecodeAll(const Stored& stored, Compression) {
    auto reader = BatchReader::Open(stored.bytes);
    v1::Event event;
    for (size_t i = 0; i < reader->size(); ++i) {
      if (!reader->Get(i, &event).ok()) std::abort();
      benchmark::DoNotOptimize(&event);
    }
  }
  static uint64_t DecodeTwo(const Stored& stored, Compression) {
    auto reader = BatchReader::Open(stored.bytes);
    const auto* port = *reader->Read(Core::kDstPort);
    const auto* id = *reader->Read(Core::kVendorEventId);
    uint64_t sum = 0;
    for (size_t i = 0; i < reader->size(); ++i) sum += port->number(i) + id->text(i).size();
    return sum;
  }
};

enum class Work { kEncode, kDecodeAll, kDecodeTwo };

template <typename Codec>
void Run(benchmark::State& state, const Corpus& corpus, Compression compression, Work work) {
  if (corpus.events == 0) return state.SkipWithError("the recorded events are not present");
  std::vector<typename Codec::Stored> stored;
  size_t stored_bytes = 0;
  for (const Batch& batch : corpus.batches) {
    stored.push_back(Codec::Encode(batch, compression));
    stored_bytes += stored.back().bytes.size();
  }
  for (auto step : state) {
    for (size_t i = 0; i < corpus.batches.size(); ++i) {
      if (work == Work::kEncode) {
        benchmark::DoNotOptimize(Codec::Encode(corpus.batches[i], compression));
      } else if (work == Work::kDecodeAll) {
        Codec::DecodeAll(stored[i], compression);
      } else {
        benchmark::DoNotOptimize(Codec::DecodeTwo(stored[i], compression));
      }
    }
  }
  const auto rounds = static_cast<int64_t>(state.iterations());
  state.SetBytesProcessed(rounds * static_cast<int64_t>(corpus.raw_bytes));
  state.SetItemsProcessed(rounds * static_cast<int64_t>(corpus.events));
  state.counters["ratio"] =
      static_cast<double>(corpus.raw_bytes) / static_cast<double>(stored_bytes);
}

template <typename Codec>
void Register(const std::string& codec) {
  const std::pair<const char*, const Corpus& (*)()> corpora[] = {{"firewall", &Firewall},
                                                                 {"windows", &Windows}};
  const std::pair<const char*, Compression> compressions[] = {
      {"plain", Compression::kNone}, {"lz4", Compression::kLz4}, {"zstd", Compression::kZstd}};
  const std::pair<const char*, Work> works[] = {{"encode", Work::kEncode},
                                                {"decode_all", Work::kDecodeAll},
                                                {"decode_two", Work::kDecodeTwo}};
  for (const auto& [work_name, work] : works) {
    for (const auto& [corpus_name, corpus] : corpora) {
      for (const auto& [compression_name, compression] : compressions) {
        const std::string name =
            std::string(corpus_name) + "/" + work_name + "/" + codec + "/" + compression_name;
        benchmark::RegisterBenchmark(name.c_str(), [corpus = corpus, compression = compression,
                                                    work = work](benchmark::State& state) {
          Run<Codec>(state, corpus(), compression, work);
        })->Unit(benchmark::kMillisecond);
      }
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  Register<Protobuf>("protobuf");
  Register<Columnar>("columnar");
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
