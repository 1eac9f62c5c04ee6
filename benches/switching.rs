//! What a decision and a durable record cost: the gate over a full directory, the journal's group commit.
//! `benches/README.md` has the figures.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench has nobody to report to but its reader"
)]

use std::borrow::Cow;
use std::fs::File;
use std::hint::black_box;
use std::io::{Seek, Write};
use std::path::Path;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use posgate::base::clock::Timestamp;
use posgate::base::{
    AccountId, AcquirerId, Amount, BatchNumber, BindingId, Currency, Fate, MaskedPan, MerchantId,
    RequestType, Stan, TerminalId, TxnId,
};
use posgate::binding::counters::{Counted, CounterName, LimitSet, Subject};
use posgate::binding::limit::{Counts, Day};
use posgate::binding::{
    AccountKind, AccountStatus, Accounts, Admission, Asked, BindingState, Decision, Directory,
    HoldSet, LimitScope, Limits, ReasonSet, SerialPrint, TerminalKey, decide,
};
use posgate::iso8583::Mti;
use posgate::store::sqlite::SqliteFolder;
use posgate::store::{Intent, JournalStore, record};

/// The program's allocator: the directory's growth is its growth.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A fleet whose directory stays in the processor's caches, and one whose does not.
const FEW: u32 = 1_000;
const MANY: u32 = 1_000_000;
/// What limits are in.
const YUAN: Currency = Currency::CNY;
/// Terminals of one merchant; every terminal settles into an account of its own.
const PER_MERCHANT: u32 = 4;

fn key(n: u32) -> TerminalKey {
    TerminalKey {
        acquirer: AcquirerId(0),
        terminal: TerminalId::parse(&format!("T{n:07}")).unwrap(),
    }
}

fn merchant(n: u32) -> MerchantId {
    MerchantId::parse(&format!("{:015}", n / PER_MERCHANT)).unwrap()
}

/// A directory in which every binding is active and every account verified.
fn directory(terminals: u32) -> Directory {
    let directory = Directory::new();
    for n in 0..terminals {
        directory.set_account(AccountId(n), AccountStatus::Verified);
        let admission = Admission {
            binding: BindingId(u64::from(n)),
            version: 1,
            accounts: Accounts::one(AccountKind::BankCard, AccountId(n)),
            merchant: merchant(n),
            state: BindingState::Active,
            reasons: ReasonSet::EMPTY,
            holds: HoldSet::EMPTY,
            device: SerialPrint::NONE,
        };
        directory.put(key(n), admission);
    }
    directory.set_trusted(true);
    directory
}

/// Memory of this process in bytes, as `serve` measures it.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * rustix::param::page_size()
}

/// The floor: one read from a random place of memory as large as the directory, as this machine does it now.
fn random_read(c: &mut Criterion) {
    const WORDS: usize = 1 << 24;
    let mut random = fastrand::Rng::with_seed(1);
    let memory: Vec<u64> = (0..WORDS).map(|_| random.u64(..)).collect();
    let (mut at, mut step) = (0_u64, 0_u64);
    c.bench_function("gate/one random read of 128 MiB", |b| {
        b.iter(|| {
            // Each place follows from what was read before, and the steps keep it from going round.
            step += 1;
            let place = usize::try_from(at % WORDS as u64).unwrap();
            at = memory[place].wrapping_add(step);
            black_box(at)
        });
    });
}

fn gate(c: &mut Criterion) {
    let before = resident();
    let many = directory(MANY);
    let growth = resident() - before;
    let each = growth / MANY as usize;
    println!("gate: {MANY} terminals grew the process by {growth} bytes, {each} a terminal");
    decisions(c, &directory(FEW), FEW);
    decisions(c, &many, MANY);
    counted(c, &limited(directory(FEW), FEW), FEW);
    let before = resident();
    let many = limited(many, MANY);
    let counters = many.counters().len();
    let each = (resident() - before) / MANY as usize;
    println!("gate: {counters} counters, {each} bytes for the limits of a terminal");
    counted(c, &many, MANY);
}

/// Limits that nothing comes to, of every terminal, its account and its merchant, and of all kinds.
fn limited(directory: Directory, terminals: u32) -> Directory {
    let limits = Limits {
        currency: YUAN,
        day_amount: Some(u64::MAX),
        day_count: Some(u64::MAX),
        month_amount: Some(u64::MAX),
        month_count: Some(u64::MAX),
    };
    for n in 0..terminals {
        let first = n - n % PER_MERCHANT;
        let merchants = Subject::Merchant(AcquirerId(0), merchant(n));
        for (scope, number, subject) in [
            (
                LimitScope::Terminal,
                n,
                Subject::Binding(BindingId(n.into())),
            ),
            (LimitScope::Account, n, Subject::Account(AccountId(n))),
            (LimitScope::Merchant, first, merchants),
        ] {
            let set = LimitSet {
                name: CounterName {
                    scope,
                    number: number.into(),
                },
                limits,
                subjects: vec![subject],
                accounts: vec![AccountId(n)],
            };
            directory.limit(&set, TxnId(0));
        }
    }
    directory
}

/// The same, and what a sale of a limited terminal takes beside: it is counted towards its terminal's, its account's and
/// its merchant's limit, all four kinds of each asked whether it fits.
fn counted(c: &mut Criterion, directory: &Directory, terminals: u32) {
    let mut random = fastrand::Rng::with_seed(1);
    let asked: Vec<_> = (0..MANY).map(|_| random.u32(..terminals)).collect();
    let asked: Vec<_> = asked.iter().map(|n| (key(*n), merchant(*n))).collect();
    let mut next = asked.iter().cycle();
    let mut txn = 0;
    let name = format!("gate/sale of a random limited terminal/{terminals}");
    c.bench_function(&name, |b| {
        b.iter(|| {
            let (key, merchant) = next.next().unwrap();
            let admission = directory.find(*key).unwrap().unwrap();
            let account = directory.account(admission.accounts.first());
            let decision = decide(Ok(Some(admission)), Ok(account), sale(*merchant));
            assert!(matches!(decision, Decision::Pass { .. }));
            assert!(directory.is_limited(admission.accounts.first()));
            let counted = Counted {
                key: *key,
                binding: admission.binding,
                account: admission.accounts.first(),
                merchant: *merchant,
                amount: Amount {
                    minor: 1,
                    currency: YUAN,
                },
                day: Day(20_261_123),
            };
            txn += 1;
            let fits = directory
                .counters()
                .reserve(&counted, TxnId(txn), Counts::IfItFits);
            black_box(fits).unwrap();
        });
    });
}

/// A sale as the gate looks at it.
const fn sale(merchant: MerchantId) -> Asked {
    Asked {
        kind: RequestType::NewMoney,
        merchant: Some(merchant),
        amount: Some(1),
    }
}

/// Look-up, account status and decision for sales of uniformly random terminals.
fn decisions(c: &mut Criterion, directory: &Directory, terminals: u32) {
    let mut random = fastrand::Rng::with_seed(1);
    let asked: Vec<_> = (0..MANY)
        .map(|_| {
            let n = random.u32(..terminals);
            (key(n), merchant(n))
        })
        .collect();
    let mut next = asked.iter().cycle();
    let name = format!("gate/sale of a random terminal/{terminals}");
    c.bench_function(&name, |b| {
        b.iter(|| {
            let (key, merchant) = next.next().unwrap();
            let found = directory.find(*key);
            let account = match found {
                Ok(Some(admission)) => directory.account(admission.accounts.first()),
                Ok(None) | Err(_) => AccountStatus::Unverified,
            };
            let decision = decide(found, Ok(account), sale(*merchant));
            debug_assert!(matches!(decision, Decision::Pass { .. }));
            black_box(decision)
        });
    });
}

/// The intent of a chip sale: what is stored before it is forwarded.
fn intent(n: u32) -> Intent<'static> {
    Intent {
        txn: TxnId(u64::from(n)),
        at: Timestamp(1_767_225_600_000_000),
        key: key(n),
        merchant: merchant(n),
        binding: BindingId(u64::from(n)),
        version: 1,
        account: AccountId(n),
        held: false,
        kind: RequestType::NewMoney,
        fate: Fate::Reverse,
        sign: 1,
        mti: Mti::FINANCIAL_REQUEST,
        request: Cow::Borrowed("sale"),
        dialect: Cow::Borrowed("unionpay-pos"),
        batch: BatchNumber::FIRST,
        stan: Stan::FIRST,
        group: Cow::Borrowed("bank"),
        upstream_stan: Stan::FIRST,
        amount: Amount {
            minor: 12_345,
            currency: Currency::NONE,
        },
        pan: MaskedPan::NONE,
        pan_hash: [7; 16],
        sealed_pan: Cow::Borrowed(&[7; 48]),
        content: 7,
        original: TxnId(0),
        reversal: Cow::Borrowed(&[7; 90]),
        envelope: Cow::Borrowed(&[7; 11]),
    }
}

fn write_group(group: &mut Vec<u8>, records: u32) {
    group.clear();
    record::begin_group(group);
    for n in 0..records {
        intent(n).encode(group);
    }
    record::end_group(group);
}

fn journal(c: &mut Criterion) {
    let folder = tempfile::tempdir_in(Path::new(env!("CARGO_TARGET_TMPDIR"))).unwrap();
    let mut benches = c.benchmark_group("journal");

    // The floor: what the disk takes for a page that is written over, without SQLite.
    let mut file = File::create(folder.path().join("page")).unwrap();
    file.write_all(&[0; 4_096]).unwrap();
    file.sync_all().unwrap();
    benches.bench_function("sync of one page alone", |b| {
        b.iter(|| {
            file.rewind().unwrap();
            file.write_all(&[1; 4_096]).unwrap();
            file.sync_data().unwrap();
        });
    });

    let mut store = SqliteFolder::open(folder.path())
        .unwrap()
        .journal()
        .unwrap();
    let mut group = Vec::new();
    for records in [1, 16, 64] {
        write_group(&mut group, records);
        let bytes = group.len();
        println!("journal: a group of {records} has {bytes} bytes");
        benches.throughput(Throughput::Elements(records.into()));
        benches.bench_function(BenchmarkId::new("encode, append and sync", records), |b| {
            b.iter(|| {
                write_group(&mut group, records);
                store.append(&group, records).unwrap()
            });
        });
    }
    benches.throughput(Throughput::Elements(64));
    benches.bench_function("encode alone/64", |b| {
        b.iter_batched(
            Vec::new,
            |mut out| {
                write_group(&mut out, 64);
                out
            },
            BatchSize::SmallInput,
        );
    });
    benches.finish();
}

criterion_group!(benches, gate, random_read, journal);
criterion_main!(benches);
