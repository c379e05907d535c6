#include "services/archive/domain/block_column.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "fmt/format.h"

#include "common/eventstore/native.h"
#include "common/filter/schema.h"
#include "common/status/status.h"
#include "yagura/event/v1/event.pb.h"

namespace yagura::archive {
namespace {

using event::Column;
using event::Core;
using eventstore::AppendFixed;
using eventstore::AppendText;
using eventstore::DictionaryColumn;

constexpr std::chrono::nanoseconds kOldest = std::chrono::hours(7 * 24);
constexpr std::chrono::nanoseconds kNewest = std::chrono::hours(1);
constexpr std::string_view kMapped("\0\0\0\0\0\0\0\0\0\0\xff\xff", 12);
constexpr char kOccurrence = '\x1f';  // behind it a key has which occurrence of the name it is
constexpr int kFlawBits = 64;

// A column whose values stand one behind the other.
class PlainColumn : public BlockColumn {
 public:
  std::string Take() override { return std::exchange(out_, {}); }

 protected:
  std::string& out() { return out_; }

 private:
  std::string out_;
};

template <typename Append>
class EachRow final : public PlainColumn {
 public:
  explicit EachRow(Append append) : append_(std::move(append)) {}
  void Add(const BatchRows& batch) override {
    for (const uint16_t row : batch.rows()) append_(batch, row, &out());
  }

 private:
  const Append append_;
};

template <typename Append>
NewBlockColumn ForEachRow(Append append) {
  return [append] { return std::make_unique<EachRow<Append>>(append); };
}

// Numbers of one width; what no event has is 0.
template <typename Number>
NewBlockColumn NumberColumn(Core core) {
  return ForEachRow([core](const BatchRows& batch, size_t row, std::string* out) {
    AppendFixed(static_cast<Number>(batch.At(core).signed_number(row)), out);
  });
}

class DictionaryBlock final : public BlockColumn {
 public:
  explicit DictionaryBlock(Core core) : core_(core) {}

  void Add(const BatchRows& batch) override {
    const Column& column = batch.At(core_);
    if (column.empty()) {
      values_.Add(batch.rows().size(), DictionaryColumn::kEmpty);
      return;
    }
    keys_.assign(column.texts.size() + 1, DictionaryColumn::kEmpty);
    for (size_t i = 0; i < column.texts.size(); ++i) keys_[i + 1] = values_.Intern(column.texts[i]);
    for (const uint16_t row : batch.rows()) values_.Add(keys_[column.rows[row]]);
  }

  std::string Take() override {
    std::string out;
    DictionaryColumn::AppendPrefix(&out);
    values_.AppendData(&out);
    values_ = {};
    return out;
  }

 private:
  const Core core_;
  DictionaryColumn values_;
  std::vector<DictionaryColumn::Key> keys_;  // by the batch's own number of the value
};

class TenantBlock final : public BlockColumn {
 public:
  void Add(const BatchRows& batch) override {
    values_.Add(batch.rows().size(), values_.Intern(batch.tenant()));
  }
  std::string Take() override {
    std::string out;
    DictionaryColumn::AppendPrefix(&out);
    values_.AppendData(&out);
    values_ = {};
    return out;
  }

 private:
  DictionaryColumn values_;
};

bool IsClockError(const BatchRows& batch, size_t row) {
  const Column& times = batch.At(Core::kEventTime);
  if (!times.has(row)) return false;
  int64_t ahead = 0;
  return __builtin_sub_overflow(times.signed_number(row), batch.ReceiveTime(row), &ahead) ||
         ahead > kNewest.count() || ahead < -kOldest.count();
}

class FlawsBlock final : public BlockColumn {
 public:
  void Add(const BatchRows& batch) override {
    for (const uint16_t row : batch.rows()) {
      AppendStoredFlaws(batch, row, &flaws_);
      AppendFixed(static_cast<uint64_t>(flaws_.size()), &offsets_);
    }
  }
  std::string Take() override {
    std::string out = std::exchange(offsets_, {});
    out += std::exchange(flaws_, {});
    return out;
  }

 private:
  std::string offsets_;
  std::string flaws_;
};

// Exact: order and repeated names are kept. Values have a dictionary, too: most repeat.
class FieldsBlock final : public BlockColumn {
 public:
  void Add(const BatchRows& batch) override {
    const event::FieldTable& fields = batch.fields();
    sources_.clear();
    for (const auto& source : fields.sources) {
      sources_.push_back({keys_.Intern(FieldKey(source.name, source.occurrence)), {}});
    }
    for (const uint16_t row : batch.rows()) {
      for (const uint16_t source : batch.layouts().layouts()[batch.layouts().Of(row)].stored) {
        keys_.Add(sources_[source].key);
        values_.Add(ValueOf(*fields.sources[source].column, row, &sources_[source]));
      }
      AppendFixed(static_cast<uint64_t>(keys_.rows()), &offsets_);
    }
  }

  std::string Take() override {
    std::string out;
    out.reserve(offsets_.size() + keys_.rows() * 4);
    DictionaryColumn::AppendPrefix(&out);
    DictionaryColumn::AppendPrefix(&out);
    out += std::exchange(offsets_, {});
    keys_.AppendData(&out);
    keys_ = {};
    values_.AppendData(&out);
    values_ = {};
    return out;
  }

 private:
  // A field of the batch: its key, and its values as far as they have been met.
  struct Source {
    DictionaryColumn::Key key;
    std::vector<DictionaryColumn::Key> values;  // by the batch's own number of the value
  };
  static constexpr DictionaryColumn::Key kUnknown = UINT32_MAX;

  DictionaryColumn::Key ValueOf(const Column& column, size_t row, Source* source) {
    if (!column.has(row)) return DictionaryColumn::kEmpty;
    const size_t value = column.rows[row] - 1U;
    if (source->values.empty()) source->values.assign(column.texts.size(), kUnknown);
    DictionaryColumn::Key& key = source->values[value];
    if (key == kUnknown) key = values_.Intern(column.texts[value]);
    return key;
  }

  DictionaryColumn keys_;
  DictionaryColumn values_;
  std::string offsets_;
  std::vector<Source> sources_;  // by the batch's own number of the field
};

class LayoutBlock final : public BlockColumn {
 public:
  void Add(const BatchRows& batch) override {
    keys_.clear();
    for (const auto& layout : batch.layouts().layouts()) {
      keys_.push_back(values_.Intern(layout.text));
    }
    for (const uint16_t row : batch.rows()) values_.Add(keys_[batch.layouts().Of(row)]);
  }

  std::string Take() override {
    std::string out;
    DictionaryColumn::AppendPrefix(&out);
    values_.AppendData(&out);
    values_ = {};
    return out;
  }

 private:
  DictionaryColumn values_;
  std::vector<DictionaryColumn::Key> keys_;  // by the batch's own number of the layout
};

}  // namespace

StatusOr<BatchRows> BatchRows::Open(std::string_view payload, size_t begin, size_t end) {
  YAGURA_ASSIGN_OR_RETURN(event::BatchReader reader, event::BatchReader::Open(payload));
  BatchRows batch;
  batch.reader_ = std::make_unique<event::BatchReader>(std::move(reader));
  YAGURA_RETURN_IF_ERROR(batch.Decode());
  batch.Order(begin, std::min(end, batch.reader_->size()));
  return batch;
}

Status BatchRows::Decode() {
  for (int core = 1; core <= event::kMaxCore; ++core) {
    YAGURA_ASSIGN_OR_RETURN(core_[static_cast<size_t>(core)],
                            reader_->Read(static_cast<Core>(core)));
  }
  YAGURA_ASSIGN_OR_RETURN(raw_, reader_->RawLines());
  YAGURA_ASSIGN_OR_RETURN(fields_, reader_->ReadFields());
  layouts_ = FieldLayouts(*fields_, reader_->size(),
                          [this](Core core) -> const Column& { return At(core); });
  return absl::OkStatus();
}

void BatchRows::Order(size_t begin, size_t end) {
  for (size_t row = begin; row < end; ++row) rows_.push_back(static_cast<uint16_t>(row));
  // Ids differ in their last part only, the number in decimal: "10" is before "2".
  const auto text = [](uint16_t row) { return fmt::format_int(row); };
  std::sort(rows_.begin(), rows_.end(), [&](uint16_t a, uint16_t b) {
    const int64_t time_a = ReceiveTime(a);
    const int64_t time_b = ReceiveTime(b);
    if (time_a != time_b) return time_a < time_b;
    const auto text_a = text(a);
    const auto text_b = text(b);
    return std::string_view(text_a.data(), text_a.size()) <
           std::string_view(text_b.data(), text_b.size());
  });
}

uint8_t EnumByte(uint64_t number) { return number < 256 ? static_cast<uint8_t>(number) : 0; }

void AppendStoredAddress(std::string_view ip, std::string* out) {
  if (ip.size() == 4) {
    out->append(kMapped);
    out->append(ip);
  } else {
    out->append(ip.size() == kNoAddress.size() ? ip : kNoAddress);
  }
}

void AppendStoredFlaws(const BatchRows& batch, size_t row, std::string* out) {
  const uint64_t flaws = batch.At(Core::kFlaws).number(row);
  if (flaws != 0) {
    for (int flaw = 1; flaw < kFlawBits; ++flaw) {
      if (flaws >> flaw & 1) out->push_back(static_cast<char>(flaw));
    }
  }
  if (IsClockError(batch, row) && !(flaws >> event::v1::CLOCK_ERROR & 1)) {
    out->push_back(static_cast<char>(event::v1::CLOCK_ERROR));
  }
}

NewBlockColumn TextColumn(Core core) {
  return ForEachRow([core](const BatchRows& batch, size_t row, std::string* out) {
    AppendText(batch.At(core).text(row), out);
  });
}

NewBlockColumn DictionaryOf(Core core) {
  return [core] { return std::make_unique<DictionaryBlock>(core); };
}

NewBlockColumn AddressColumn(Core core) {
  return ForEachRow([core](const BatchRows& batch, size_t row, std::string* out) {
    AppendStoredAddress(batch.At(core).text(row), out);
  });
}

NewBlockColumn SignedColumn(Core core) { return NumberColumn<int64_t>(core); }
NewBlockColumn UnsignedColumn(Core core) { return NumberColumn<uint64_t>(core); }
NewBlockColumn Unsigned32Column(Core core) { return NumberColumn<uint32_t>(core); }

NewBlockColumn EnumColumn(Core core) {
  return ForEachRow([core](const BatchRows& batch, size_t row, std::string* out) {
    AppendFixed(EnumByte(batch.At(core).number(row)), out);
  });
}

NewBlockColumn IdColumn() {
  return ForEachRow(
      [](const BatchRows& batch, size_t row, std::string* out) { AppendText(batch.Id(row), out); });
}

NewBlockColumn TenantColumn() {
  return [] { return std::make_unique<TenantBlock>(); };
}

NewBlockColumn RawColumn() {
  return ForEachRow([](const BatchRows& batch, size_t row, std::string* out) {
    AppendText(batch.Raw(row), out);
  });
}

NewBlockColumn FlawsOf() {
  return [] { return std::make_unique<FlawsBlock>(); };
}

NewBlockColumn FieldsOf() {
  return [] { return std::make_unique<FieldsBlock>(); };
}

NewBlockColumn LayoutOf() {
  return [] { return std::make_unique<LayoutBlock>(); };
}

NewBlockColumn UnitColumn() {
  return ForEachRow([](const BatchRows& batch, size_t /*row*/, std::string* out) {
    AppendFixed(batch.unit(), out);
  });
}

NewBlockColumn FoldedOf() {
  return ForEachRow([](const BatchRows& batch, size_t row, std::string* out) {
    filter::EventFolder folder;
    if (folder.Begin(batch.Raw(row))) {
      folder.Add(batch.At(Core::kMessage).text(row));
      const event::FieldTable& fields = batch.fields();
      if (row < fields.rows.size() && fields.rows[row] != 0) {
        for (const uint16_t source : fields.orders[fields.rows[row] - 1U]) {
          folder.Add(fields.sources[source].column->text(row));
        }
      }
    }
    AppendText(folder.Take(), out);
  });
}

NewBlockColumn ExpiryColumn() {
  return ForEachRow([](const BatchRows& batch, size_t row, std::string* out) {
    AppendFixed(batch.Expiry(row), out);
  });
}

uint32_t BatchRows::Expiry(size_t row) const {
  const TimePoint received{std::chrono::nanoseconds(ReceiveTime(row))};
  const bool held = std::any_of(holds_.begin(), holds_.end(), [received](const TimeWindow& hold) {
    return received >= hold.start && received < hold.end;
  });
  return held ? kHeldUntil : RetentionExpiry(row);
}

bool BatchRows::HoldsDay(int64_t day) const {
  return std::any_of(holds_.begin(), holds_.end(),
                     [day](const TimeWindow& hold) { return TouchesDay(hold, day); });
}

uint32_t BatchRows::RetentionExpiry(size_t row) const {
  constexpr int64_t kNanoseconds = 1'000'000'000;
  const int64_t seconds = ReceiveTime(row) / kNanoseconds + retention_.count() / kNanoseconds;
  // Never what says that it is held.
  return static_cast<uint32_t>(std::clamp<int64_t>(seconds, 0, kHeldUntil - 1));
}

std::string FieldKey(std::string_view name, uint64_t occurrence) {
  if (occurrence == 0 && name.find(kOccurrence) == std::string_view::npos) return std::string(name);
  return fmt::format("{}{}{}", name, kOccurrence, occurrence + 1);
}

std::string_view FieldName(std::string_view key) { return key.substr(0, key.rfind(kOccurrence)); }

}  // namespace yagura::archive
