"""Remez fit of r(d)=N(-d)exp(d^2/2) on [0,39]."""
import sys
import mpmath as mp
mp.mp.dps = 60
M, N = int(sys.argv[1]), int(sys.argv[2])
HI = mp.mpf(39)
def r(d): return mp.erfc(d/mp.sqrt(2))/2*mp.exp(d*d/2)
def tomap(t): # t in [0,1] -> [0,39], dense near 0
    c = mp.mpf('2.0'); return c*t/(1-t*HI/(HI+c))*(1/(1))*((HI+c)/ (HI+c)) if True else None
c = mp.mpf(2)
def X(t): # t=x/(x+c) scaled
    tm = HI/(HI+c); y = t*tm; return c*y/(1-y)
K = 240
grid=[X((1-mp.cos(mp.pi*i/(K-1)))/2) for i in range(K)]
rv=[r(x) for x in grid]
def solve_ls(w):
    n=M+N+1
    A=mp.matrix(K,n); b=mp.matrix(K,1)
    for i,x in enumerate(grid):
        xp=[mp.mpf(1)]
        for j in range(max(M,N)): xp.append(xp[-1]*x)
        for j in range(M+1): A[i,j]=w[i]*xp[j]
        for j in range(1,N+1): A[i,M+j]=-w[i]*rv[i]*xp[j]
        b[i]=w[i]*rv[i]
    s=mp.lu_solve(A,b)
    return [s[j] for j in range(M+1)],[mp.mpf(1)]+[s[M+j] for j in range(1,N+1)]
def P(c_,x): return mp.polyval(c_[::-1],x)
w=[1/v for v in rv]
for it in range(4):
    p,q=solve_ls(w); w=[1/(v*P(q,x)) for x,v in zip(grid,rv)]
fine=[X((1-mp.cos(mp.pi*i/3000))/2) for i in range(3001)]
fr=[r(x) for x in fine]
def errs(p,q): return [P(p,x)/P(q,x)/v-1 for x,v in zip(fine,fr)]
def extrema(e):
    out=[];cur=None
    for x,v,rr in zip(fine,e,fr):
        if cur is None or (v>0)!=(cur[1]>0):
            if cur: out.append(cur)
            cur=(x,v,rr)
        elif abs(v)>abs(cur[1]): cur=(x,v,rr)
    out.append(cur); return out
nref=M+N+2
for it in range(12):
    e=errs(p,q); ex=extrema(e)
    while len(ex)>nref:
        if abs(ex[0][1])<abs(ex[-1][1]): ex.pop(0)
        else: ex.pop()
    if len(ex)<nref: print('few',len(ex),float(max(abs(v) for v in e))); break
    mx=max(abs(v) for v in e); mn=min(abs(v) for _,v,_ in ex)
    print(it,float(mx),float(mn),flush=True)
    if mx/mn<1.02: break
    E=mx
    for inner in range(4):
        n=nref; A=mp.matrix(n,n); b=mp.matrix(n,1)
        for i,(x,_,rr) in enumerate(ex):
            sg=(-1)**i
            fac=rr*(1+sg*E)
            for j in range(M+1): A[i,j]=x**j
            for j in range(1,N+1): A[i,M+j]=-fac*x**j
            A[i,n-1]=-sg*rr*P(q,x); b[i]=rr
            # P - r(1+sE)Q = 0 ; linearise E in last col w/ prev Q
            for j in range(1,N+1): A[i,M+j]=-rr*x**j
        s=mp.lu_solve(A,b)
        p=[s[j] for j in range(M+1)]; q=[mp.mpf(1)]+[s[M+j] for j in range(1,N+1)]; E=s[n-1]
print('P',[mp.nstr(v,20) for v in p]); print('Q',[mp.nstr(v,20) for v in q])
print('maxerr',float(max(abs(v) for v in errs(p,q))), 'pos',all(v>0 for v in p+q))
